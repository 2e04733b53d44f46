//! Which images the containers run: recorded, so that a restore can get the same ones.

use std::collections::BTreeSet;

use serde::Serialize;

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use super::json::Json as _;
use super::raw::encoded;
use crate::error::Result;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageRecord {
    /// `sha256:…`, the id on this host.
    pub id: String,
    /// Such as `postgres:16`.
    pub tags: Vec<String>,
    /// Such as `postgres@sha256:…`: what a registry knows it by. Empty for an image that was built here.
    pub digests: Vec<String>,
    /// What it was built for, such as `linux/arm64`; empty where that is not known.
    pub platform: String,
}

impl Engine {
    /// One record for each of `ids`; an image that was removed under its container has no tags and digests.
    pub async fn image_records(&self, ids: &BTreeSet<String>) -> Result<Vec<ImageRecord>> {
        let mut records = Vec::with_capacity(ids.len());
        for id in ids {
            let image = match bounded(PATIENCE, self.docker.inspect_image(id)).await {
                Ok(image) => Some(image),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.doing(format!("image `{id}` cannot be inspected"))),
            };
            let image = image.unwrap_or_default();
            records.push(ImageRecord {
                id: id.clone(),
                platform: platform(
                    image.os.as_deref().unwrap_or_default(),
                    image.architecture.as_deref().unwrap_or_default(),
                ),
                tags: image.repo_tags.unwrap_or_default(),
                digests: image.repo_digests.unwrap_or_default(),
            });
        }
        Ok(records)
    }

    /// What the image `name` runs as by itself; `None` when there is no such image.
    pub async fn image_user(&self, name: &str) -> Result<Option<String>> {
        match self
            .get_json(&format!("/images/{}/json", encoded(name)))
            .await
        {
            Ok(Some(raw)) => {
                let user = raw.at("Config").at("User").as_str();
                Ok(Some(user.unwrap_or_default().to_owned()))
            }
            Ok(None)
            | Err(EngineError::Refused {
                status: 300..500, ..
            }) => Ok(None),
            Err(error) => Err(error.doing(format!("image `{name}` cannot be inspected"))),
        }
    }

    /// The image that `name` (a tag, a digest or an id) leads to here; `None` also for what Docker does not take for a name.
    pub async fn image(&self, name: &str) -> Result<Option<ImageRecord>> {
        let raw = match self
            .get_json(&format!("/images/{}/json", encoded(name)))
            .await
        {
            Ok(Some(raw)) => raw,
            Ok(None)
            | Err(EngineError::Refused {
                status: 300..500, ..
            }) => return Ok(None),
            Err(error) => return Err(error.doing(format!("image `{name}` cannot be inspected"))),
        };
        let texts = |key: &str| {
            let texts = raw.at(key).as_array().into_iter().flatten();
            texts
                .filter_map(|text| text.as_str().map(str::to_owned))
                .collect()
        };
        let text = |key: &str| raw.at(key).as_str().unwrap_or_default();
        Ok(Some(ImageRecord {
            id: raw.at("Id").as_str().unwrap_or_default().to_owned(),
            tags: texts("RepoTags"),
            digests: texts("RepoDigests"),
            platform: platform(text("Os"), text("Architecture")),
        }))
    }
}

fn platform(os: &str, architecture: &str) -> String {
    if os.is_empty() || architecture.is_empty() {
        return String::new();
    }
    format!("{os}/{architecture}")
}
