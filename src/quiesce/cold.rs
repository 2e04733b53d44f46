//! The proof that nobody can write to what is read.
//!
//! Never assumed from a stop that Docker called good: the state is asked for, of every container on the host.

use chrono::{DateTime, Utc};

use super::record::Entry;
use crate::discovery::can_write;
use crate::docker::{ContainerState, Engine, Listener};
use crate::error::Result;
use crate::model::Source;
use crate::model::unit::Mount;

/// The exit status of a container that was ended by SIGKILL.
const KILLED: i64 = 137;

/// Containers that did not stop cleanly, by id, each with the reason.
pub type Unclean = Vec<(String, String)>;

/// Fails unless every container of `entries` is down and no running container that isn't in `tolerated` can write to one of
/// `sources`. Returns those whose end was not clean: their data is as after a power cut.
pub async fn prove(
    engine: &Engine,
    entries: &[Entry],
    sources: &[Source],
    tolerated: &[String],
) -> Result<Unclean> {
    let mut unclean = Unclean::new();
    for entry in entries {
        let state = match engine.inspect(&entry.id).await? {
            Some(container) => container.state.unwrap_or_default(),
            None => {
                let reason = format!(
                    "container `{}` was removed, so it is not known how it ended",
                    entry.name
                );
                unclean.push((entry.id.clone(), reason));
                continue;
            }
        };
        if state.running.unwrap_or_default() {
            anyhow::bail!("container `{}` still runs after its stop", entry.name);
        }
        if let Some(reason) = unclean_end(entry, &state) {
            unclean.push((entry.id.clone(), reason));
        }
    }
    let writers = writers(engine, sources, tolerated).await?;
    if let Some((name, source)) = writers.first() {
        anyhow::bail!("container `{name}` runs and can write to {source}");
    }
    Ok(unclean)
}

/// What was wrong with the end of a container that is down.
fn unclean_end(entry: &Entry, state: &ContainerState) -> Option<String> {
    let name = &entry.name;
    if state.oom_killed.unwrap_or_default() {
        return Some(format!("container `{name}` ran out of memory"));
    }
    if state.exit_code != Some(KILLED) {
        return None;
    }
    let finished = state
        .finished_at
        .as_deref()
        .and_then(|time| time.parse().ok());
    let took = entry
        .asked_at
        .zip(finished)
        .map(|(asked_at, finished): (_, DateTime<Utc>)| finished - asked_at);
    Some(match took {
        Some(took) if took.num_seconds() < entry.grace_seconds => {
            format!("container `{name}` ended with status {KILLED}, as one does that is killed")
        }
        _ => format!(
            "container `{name}` did not end within {} s and was killed",
            entry.grace_seconds
        ),
    })
}

/// What may have written to `sources` since `listener` began to listen: one sentence each, with the sources.
pub async fn writers_since(
    engine: &Engine,
    listener: Listener,
    sources: &[Source],
    tolerated: &[String],
) -> Result<Vec<(String, Vec<String>)>> {
    let mut found = Vec::new();
    let mut note = |name: &str, what: &str, source: &Source| {
        let sentence = format!("container `{name}` {what} while it was read");
        let key = source.key.to_string();
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
        for source in sources {
            if tolerated.contains(&event.id) {
                continue;
            }
            // One that can't be asked what it had mounted may have written to any of them.
            if event
                .mounts
                .as_deref()
                .is_none_or(|mounts| writes(mounts, source))
            {
                note(&event.name, what, source);
            }
        }
    }
    // Whoever runs now is seen all the same.
    for running in engine.running().await? {
        for source in sources {
            if !tolerated.contains(&running.id)
                && !running.is_paused
                && writes(&running.mounts, source)
            {
                note(&running.name, "was started", source);
            }
        }
    }
    Ok(found)
}

fn writes(mounts: &[Mount], source: &Source) -> bool {
    mounts.iter().any(|mount| can_write(source, mount))
}

async fn writers(
    engine: &Engine,
    sources: &[Source],
    tolerated: &[String],
) -> Result<Vec<(String, String)>> {
    let running = engine.running().await?;
    Ok(running
        .iter()
        .filter(|container| !container.is_paused && !tolerated.contains(&container.id))
        .flat_map(|container| {
            sources
                .iter()
                .filter(|source| writes(&container.mounts, source))
                .map(|source| (container.name.clone(), source.key.to_string()))
        })
        .collect())
}
