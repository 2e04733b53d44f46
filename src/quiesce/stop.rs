//! Stops containers by level, dependents first, each level at once.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::info;

use super::record::{Entry, RecordFile};
use super::start::{self, Started};
use crate::base::heartbeat;
use crate::base::shutdown::Shutdown;
use crate::drivers::docker::Engine;
use crate::drivers::docker::lifecycle::Stopped;
use crate::error::Result;

/// What a stop may take beyond its grace, on a host that is busy.
const STOP_SLACK: Duration = Duration::from_secs(60);

/// Containers that are stopped, or were asked to. Made only by stopping, consumed only by starting.
#[must_use = "the containers stay down until they are started"]
#[derive(Debug)]
pub struct Quiesced {
    file: RecordFile,
    since: Option<Instant>,
    /// By the clock that Docker tells ends in.
    since_time: Option<DateTime<Utc>>,
    /// Those that had ended before we asked: looked at in the proof of cold, never started.
    ended: Vec<Entry>,
    warnings: Vec<String>,
    shutdown: Shutdown,
}

/// Those of `entries` that still run, and what is to be told of the others. Asked right before the record is written: what has ended
/// since the plan was made is not ours to start.
pub async fn still_running(
    engine: &Engine,
    entries: Vec<Entry>,
) -> Result<(Vec<Entry>, Vec<String>)> {
    if entries.is_empty() {
        return Ok((entries, Vec::new()));
    }
    let listed = engine.listed().await?;
    let is_up: BTreeMap<&str, bool> = listed
        .iter()
        .map(|container| {
            let runs = container.is_up && !container.is_paused;
            (container.id.as_str(), runs)
        })
        .collect();
    let mut warnings = Vec::new();
    let mut running = Vec::new();
    for entry in entries {
        match is_up.get(entry.id.as_str()) {
            Some(true) => running.push(entry),
            Some(false) => warnings.push(format!(
                "container `{}` ended or was paused before its stop, so it is left as it is",
                entry.name
            )),
            None => warnings.push(format!(
                "container `{}` was removed before its stop",
                entry.name
            )),
        }
    }
    Ok((running, warnings))
}

/// Stops what `file` names. Whatever goes wrong, the first value is there to start everything again.
pub async fn stop_all(
    engine: &Engine,
    file: RecordFile,
    shutdown: &Shutdown,
) -> (Quiesced, Result<()>) {
    let mut quiesced = Quiesced {
        file,
        since: None,
        since_time: None,
        ended: Vec::new(),
        warnings: Vec::new(),
        shutdown: shutdown.clone(),
    };
    let result = quiesced.stop_levels(engine).await;
    (quiesced, result)
}

async fn stop(engine: &Engine, entry: &Entry) -> Result<Stopped> {
    info!(
        "container `{}` is asked to stop, within {} s",
        entry.name, entry.grace_seconds
    );
    // Docker answers when the container has taken its grace.
    let grace = Duration::from_secs(entry.grace_seconds.unsigned_abs());
    let _patience = heartbeat::allow(grace + STOP_SLACK);
    let stopped = engine.stop(&entry.id, entry.grace_seconds).await?;
    info!("container `{}` has stopped", entry.name);
    Ok(stopped)
}

impl Quiesced {
    async fn stop_levels(&mut self, engine: &Engine) -> Result<()> {
        let mut levels: Vec<usize> = self.entries().iter().map(|entry| entry.level).collect();
        levels.sort_unstable();
        levels.dedup();
        let highest = levels.last().copied();
        for level in levels.into_iter().rev() {
            if self.shutdown.is_asked() {
                anyhow::bail!("a signal came before everything was stopped");
            }
            self.file.asked(level)?;
            let is_first = Some(level) == highest;
            if is_first {
                // The disk has had its time; from here on services are down.
                self.since = Some(Instant::now());
                self.since_time = Some(Utc::now());
            }
            let stops = self
                .entries()
                .iter()
                .filter(|entry| entry.level == level)
                .map(|entry| async move { (entry.id.clone(), stop(engine, entry).await) });
            // All of a level are waited for, also when one fails: what Docker has accepted goes on.
            let results = join_all(stops).await;
            let mut not_ours = Vec::new();
            let mut failure = None;
            for (id, result) in results {
                match result {
                    Ok(Stopped::Now) => {}
                    Ok(Stopped::Already) if self.ended_before_us(engine, &id).await => {
                        not_ours.push(id);
                    }
                    // Later it may be gone because of what we have stopped, and what took its place is ours to start.
                    Ok(Stopped::Gone) if is_first => not_ours.push(id),
                    Ok(Stopped::Already | Stopped::Gone) => {}
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            self.leave(&not_ours)?;
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(())
    }

    /// One that ended after our first stop may have ended of it (its database went away): then it is ours to start.
    async fn ended_before_us(&self, engine: &Engine, id: &str) -> bool {
        let Ok(Some(container)) = engine.inspect(id).await else {
            return false;
        };
        let finished = container
            .state
            .and_then(|state| state.finished_at)
            .and_then(|time| time.parse::<DateTime<Utc>>().ok());
        finished
            .zip(self.since_time)
            .is_some_and(|(finished, since)| finished < since)
    }

    /// Takes those with these ids out of what is started.
    fn leave(&mut self, ids: &[String]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let gone = self
            .entries()
            .iter()
            .filter(|entry| ids.contains(&entry.id));
        let gone: Vec<Entry> = gone.cloned().collect();
        for entry in &gone {
            self.warnings.push(format!(
                "container `{}` ended or was removed before it was asked to stop, so it is left as it is",
                entry.name
            ));
        }
        self.ended.extend(gone);
        self.file.forget(ids)
    }

    /// Those with these ids are not started. The record on the disk is another's to change.
    pub fn hold(&mut self, ids: &[String]) {
        let entries = &mut self.file.record.entries;
        entries.retain(|entry| !ids.contains(&entry.id));
    }

    /// What is to be started.
    pub fn entries(&self) -> &[Entry] {
        &self.file.record.entries
    }

    /// Whose end matters for how cold the data is: those that we stopped, and those that ended just before.
    pub fn seen(&self) -> Vec<Entry> {
        self.entries().iter().chain(&self.ended).cloned().collect()
    }

    /// Seconds since just before the first stop was asked; 0 when none was.
    pub fn seconds(&self) -> f64 {
        self.since
            .map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// Starts everything again and forgets the record when all of it runs. Never gives up early, no signal stops it: a
    /// second one only ends the waiting between dependencies. A Docker that is away is waited for.
    pub async fn start(mut self, engine: &Engine) -> Started {
        let mut started = start::start_all(
            engine,
            &self.file.record,
            start::ENGINE_PATIENCE,
            &self.shutdown,
            start::Hurry::AtSecondSignal,
        )
        .await;
        started.warnings.append(&mut self.warnings);
        started.downtime_seconds = self.seconds();
        start::forget(self.file, &mut started);
        started
    }
}
