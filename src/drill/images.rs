//! The images that ran, by what they are and not by what they are called.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base::text::printable;
use crate::context::Context;
use crate::drivers::docker::Engine;
use crate::drivers::docker::json::Json as _;
use crate::error::Result;
use crate::points::saved::{Saved, SavedImage, fields};
use crate::restore::rebuild;
use crate::restore::rebuild::images::is_same;

/// One that is here.
#[derive(Clone, Debug)]
pub struct Found {
    pub id: String,
    pub labels: Vec<String>,
}

pub struct Images<'a> {
    pub cx: &'a Context,
    pub engine: &'a Engine,
    pub saved: &'a Saved,
    pub stall: std::time::Duration,
    pub pulls: bool,
}

impl Images<'_> {
    /// Those of `containers`, by name; the second are those that are missing, one sentence each.
    pub async fn find(
        &self,
        containers: &[&str],
    ) -> Result<(BTreeMap<String, Found>, Vec<String>)> {
        let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
        for name in containers {
            let Some(image) = self.saved.images.get(*name) else {
                missing.push(format!(
                    "the point does not say which image container `{}` ran",
                    printable(name)
                ));
                continue;
            };
            match self.one(name, image).await? {
                Ok(it) => {
                    found.insert((*name).to_owned(), it);
                }
                Err(why) => missing.push(why),
            }
        }
        missing.sort();
        missing.dedup();
        Ok((found, missing))
    }

    async fn one(&self, container: &str, image: &SavedImage) -> Result<Result<Found, String>> {
        if let Some(id) = self.here(image).await? {
            return Ok(Ok(self.described(id).await?));
        }
        let name = printable(&image.image);
        let digest = image.digests.iter().find(|digest| !digest.starts_with('-'));
        let Some(digest) = digest else {
            return Ok(Err(format!(
                "image `{name}` ({}) is not on this host, and no registry is known to have it: build it here",
                printable(&image.id)
            )));
        };
        let shown = printable(digest);
        if !self.pulls {
            return Ok(Err(format!(
                "image `{name}` is not on this host: `{shown}`; `--pull` fetches it"
            )));
        }
        let platform = self.saved.asked_platform(container);
        let say = |line: &str| self.cx.ui.say(line);
        let pulled = rebuild::pull(
            self.engine,
            digest,
            platform,
            self.stall,
            &self.cx.shutdown,
            say,
        )
        .await;
        if let Err(error) = pulled {
            if self.cx.shutdown.is_asked() {
                return Err(error);
            }
            return Ok(Err(format!("image `{shown}` cannot be fetched: {error:#}")));
        }
        match self.engine.image(digest).await? {
            Some(here) => Ok(Ok(self.described(here.id).await?)),
            None => Ok(Err(format!(
                "image `{shown}` was fetched, and is not there"
            ))),
        }
    }

    /// The id that it has here.
    async fn here(&self, image: &SavedImage) -> Result<Option<String>> {
        let names = [&image.id, &image.image];
        for name in names.into_iter().chain(&image.digests) {
            if name.is_empty() || name.starts_with('-') {
                continue;
            }
            if let Some(here) = self
                .engine
                .image(name)
                .await?
                .filter(|here| is_same(image, here))
            {
                return Ok(Some(here.id));
            }
        }
        Ok(None)
    }

    async fn described(&self, id: String) -> Result<Found> {
        let path = format!("/images/{id}/json");
        let raw = self.engine.get_json(&path).await;
        let raw: Value = raw
            .map_err(|error| error.doing(format!("image `{id}` cannot be inspected")))?
            .unwrap_or_default();
        let labels = fields(raw.at("Config").at("Labels"))
            .map(|(name, _)| name.clone())
            .collect();
        Ok(Found { id, labels })
    }
}
