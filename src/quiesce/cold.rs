//! The proof that no container can write to what is read.
//!
//! Never assumed from a stop that Docker called good: the state is asked for, of every container on the host.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::future::join_all;

use super::end::{self, End};
use super::record::Entry;
use crate::discovery::can_write;
use crate::drivers::docker::events::StartEvent;
use crate::drivers::docker::inspect::Listed;
use crate::drivers::docker::{ContainerInspectResponse, Engine, Listener};
use crate::error::Result;
use crate::model::unit::Mount;
use crate::model::{Source, SourceKey};

/// A directory or file that no container may write to, as containers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub key: SourceKey,
    /// Links resolved.
    pub path: PathBuf,
}

impl From<&Source> for Place {
    fn from(source: &Source) -> Self {
        Self {
            key: source.key.clone(),
            path: source.path.clone(),
        }
    }
}

/// Containers that did not stop cleanly, by id, each with the reason.
pub type Unclean = Vec<(String, String)>;

/// How the containers of a window ended.
#[derive(Debug, Default)]
pub struct Ends {
    pub unclean: Unclean,
    /// Ends with a status that says nothing about data.
    pub warnings: Vec<String>,
}

/// Fails unless every container of `entries` is down and no running container that is not in `tolerated` can write to one of
/// `places`. One question for all of them; only what did not end with status 0 is looked at closer.
pub async fn prove(
    engine: &Engine,
    entries: &[Entry],
    places: &[Place],
    tolerated: &[String],
) -> Result<Ends> {
    let listed = engine.listed().await?;
    let by_id: BTreeMap<&str, &Listed> = listed
        .iter()
        .map(|container| (container.id.as_str(), container))
        .collect();
    let mut ends = Ends::default();
    let mut to_inspect = Vec::new();
    for entry in entries {
        match by_id.get(entry.id.as_str()) {
            None => ends.removed(entry),
            Some(container) if container.is_up => {
                anyhow::bail!("container `{}` still runs after its stop", entry.name);
            }
            Some(container) if container.exit_code == Some(0) => {}
            Some(_) => to_inspect.push(entry),
        }
    }
    let inspected = to_inspect
        .iter()
        .map(|entry| async move { (entry, engine.inspect(&entry.id).await) });
    for (entry, container) in join_all(inspected).await {
        match container? {
            Some(container) => ends.add(entry, &container),
            None => ends.removed(entry),
        }
    }
    for container in &listed {
        if !container.is_up || container.is_paused || tolerated.contains(&container.id) {
            continue;
        }
        if let Some(place) = places.iter().find(|place| writes(&container.mounts, place)) {
            anyhow::bail!(
                "container `{}` runs and can write to {}",
                container.name,
                place.key
            );
        }
    }
    Ok(ends)
}

impl Ends {
    fn removed(&mut self, entry: &Entry) {
        let reason = format!(
            "container `{}` was removed, so it is not known how it ended",
            entry.name
        );
        self.unclean.push((entry.id.clone(), reason));
    }

    fn add(&mut self, entry: &Entry, container: &ContainerInspectResponse) {
        match end::of(entry, container) {
            End::Clean => {}
            End::Odd(sentence) => self.warnings.push(sentence),
            End::Unclean(reason) => self.unclean.push((entry.id.clone(), reason)),
        }
    }
}

/// Waits until a container comes to life that may write to one of `places`, or until that can no longer be known. What is read from
/// then on is not cold, so nothing has to stay down for it.
pub async fn spoilt(listener: &mut Listener, places: &[Place], tolerated: &[String]) {
    let matters = |event: &StartEvent| {
        !tolerated.contains(&event.id)
            && event
                .mounts
                .as_deref()
                .is_none_or(|mounts| places.iter().any(|place| writes(mounts, place)))
    };
    listener.disturbed(matters).await;
}

/// What may have written to `places` since `listener` began to listen: one sentence each, with their keys.
pub async fn writers_since(
    engine: &Engine,
    listener: Listener,
    places: &[Place],
    tolerated: &[String],
) -> Result<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    let mut note = |name: &str, what: &str, place: &Place| {
        let sentence = format!("container `{name}` {what} while it was read");
        let key = place.key.to_string();
        match found
            .iter_mut()
            .find(|(text, _): &&mut (String, Vec<String>)| *text == sentence)
        {
            Some((_, keys)) if keys.contains(&key) => {}
            Some((_, keys)) => keys.push(key),
            None => found.push((sentence, vec![key])),
        }
    };
    for event in listener.starts().await? {
        let what = if event.action == "extract-to-dir" {
            "had files copied into it"
        } else {
            "was started"
        };
        for place in places {
            if tolerated.contains(&event.id) {
                continue;
            }
            // One that cannot be asked what it had mounted may have written to any of them.
            if event
                .mounts
                .as_deref()
                .is_none_or(|mounts| writes(mounts, place))
            {
                note(&event.name, what, place);
            }
        }
    }
    // Containers that run now are seen anyway.
    for running in engine.running().await? {
        for place in places {
            if !tolerated.contains(&running.id)
                && !running.is_paused
                && writes(&running.mounts, place)
            {
                note(&running.name, "was started", place);
            }
        }
    }
    Ok(found)
}

fn writes(mounts: &[Mount], place: &Place) -> bool {
    mounts
        .iter()
        .any(|mount| can_write(&place.key, &place.path, mount))
}
