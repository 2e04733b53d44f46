//! What has to follow: written before the first hook of a unit, or of the run, is begun, so that it is done after a kill too.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::act::act;
use super::hook::{Ready, Told};
use super::series::Came;
use crate::base::blocking::aside;
use crate::base::{fault, files};
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::UnitName;
use crate::notify::Masks;

const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u32,
    written_at: DateTime<Utc>,
    socket: PathBuf,
    told: Told,
    /// In the order in which they are done.
    hooks: Vec<Ready>,
}

/// A record on the disk. It goes when everything in it has ended.
#[derive(Debug)]
pub struct Owed {
    path: PathBuf,
    record: Record,
}

impl Owed {
    /// `None` where nothing has to follow. After this it survives a power cut.
    pub async fn write(
        folder: &Path,
        unit: Option<&UnitName>,
        (told, socket): (Told, PathBuf),
        hooks: Vec<Ready>,
    ) -> Result<Option<Self>> {
        if hooks.is_empty() {
            return Ok(None);
        }
        let run = told
            .backup_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let name = unit.map_or_else(
            || format!("{run}.json"),
            |unit| format!("{run}-{unit}.json"),
        );
        let owed = Self {
            path: folder.join(name),
            record: Record {
                format: FORMAT,
                written_at: Utc::now(),
                socket,
                told,
                hooks,
            },
        };
        let (path, content) = (owed.path.clone(), owed.content()?);
        let written = aside(move || files::write(&path, &content)).await;
        written
            .context("the record of what has to follow cannot be written, so no hook is begun")?;
        Ok(Some(owed))
    }

    fn content(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&self.record)?)
    }

    fn unit(&self) -> Option<&UnitName> {
        self.record.hooks.first()?.unit.as_ref()
    }

    pub fn tell(&mut self, told: Told) {
        self.record.told = told;
    }

    /// Does them, each once: one that has ended is out of the record before the next begins. No signal ends it.
    pub async fn pay(mut self, engine: Option<&Engine>, masks: &Masks) -> Came {
        let mut came = Came::default();
        while !self.record.hooks.is_empty() {
            let hook = self.record.hooks.remove(0);
            fault::reached("owed").await;
            let told = self.record.told.clone();
            let never = std::future::pending();
            let report = Box::pin(act(&hook, &told, engine, masks, never)).await;
            came.add(&hook, report);
            let (path, content) = (self.path.clone(), self.content());
            let is_last = self.record.hooks.is_empty();
            let noted = aside(move || match is_last {
                true => files::remove(&path),
                false => files::write(&path, &content?),
            });
            if let Err(error) = noted.await {
                tracing::warn!("what has to follow cannot be noted: {error:#}");
            }
        }
        came
    }
}

/// What killed runs owe; what is left of it is said. Containers are up by now, those of `still_down` are not: theirs waits.
pub async fn catch_up(
    folder: &Path,
    still_down: &[UnitName],
    masks: &Masks,
) -> Result<Vec<String>> {
    let at = folder.to_owned();
    let found = aside(move || {
        files::read_all(&at, |bytes| {
            let record: Record = serde_json::from_slice(bytes).ok()?;
            (record.format == FORMAT).then_some(record)
        })
    });
    let found = found.await?;
    let damaged = found.damaged.iter();
    let mut said: Vec<String> = damaged
        .map(|path| {
            format!(
                "`{}` is no record of hooks: look at it, and remove it",
                path.display()
            )
        })
        .collect();
    let mut all: Vec<Owed> = found
        .good
        .into_iter()
        .map(|(path, record)| Owed { path, record })
        .collect();
    // What follows a run comes after what follows its units.
    all.sort_by_key(|owed| (owed.unit().is_none(), owed.record.written_at));
    for owed in all {
        if owed.unit().is_some_and(|unit| still_down.contains(unit)) {
            continue;
        }
        let engine = Engine::connect(&owed.record.socket).await.ok();
        let needs_engine = owed.record.hooks.iter().any(Ready::is_in_container);
        if engine.is_none() && needs_engine {
            said.push(
                "Docker does not answer: hooks that an interrupted run left wait for it".to_owned(),
            );
            continue;
        }
        for report in owed.pay(engine.as_ref(), masks).await.reports {
            let what = report.what;
            said.push(match report.error {
                None => format!("the hook `{what}` was done, which an interrupted run left"),
                Some(error) => format!(
                    "the hook `{what}`, which an interrupted run left, failed: {error}: {}",
                    report.said
                ),
            });
        }
    }
    Ok(said)
}
