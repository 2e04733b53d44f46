//! Stops containers by level, dependents first, each level at once.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tracing::info;

use super::record::{Entry, RecordFile};
use super::start::{self, Started};
use crate::docker::Engine;
use crate::error::Result;
use crate::pulse;
use crate::shutdown::Shutdown;

/// What a stop may take beyond its grace, on a host that is busy.
const STOP_SLACK: Duration = Duration::from_secs(60);

/// Containers that are stopped, or were asked to. Made only by stopping, consumed only by starting.
#[must_use = "the containers stay down until they are started"]
#[derive(Debug)]
pub struct Quiesced {
    file: RecordFile,
    since: Option<Instant>,
    shutdown: Shutdown,
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
        shutdown: shutdown.clone(),
    };
    let result = quiesced.stop_levels(engine).await;
    (quiesced, result)
}

async fn stop(engine: &Engine, entry: &Entry) -> Result<()> {
    info!(
        "container `{}` is asked to stop, within {} s",
        entry.name, entry.grace_seconds
    );
    // Docker answers when the container has taken its grace.
    let grace = Duration::from_secs(entry.grace_seconds.unsigned_abs());
    let _patience = pulse::allow(grace + STOP_SLACK);
    engine.stop(&entry.id, entry.grace_seconds).await?;
    info!("container `{}` has stopped", entry.name);
    Ok(())
}

impl Quiesced {
    async fn stop_levels(&mut self, engine: &Engine) -> Result<()> {
        let highest = self.entries().iter().map(|entry| entry.level).max();
        for level in (0..=highest.unwrap_or(0)).rev() {
            if self.shutdown.is_asked() {
                anyhow::bail!("a signal came before everything was stopped");
            }
            self.file.asked(level)?;
            if Some(level) == highest {
                // The disk has had its time; from here on services are down.
                self.since = Some(Instant::now());
            }
            let stops = self
                .entries()
                .iter()
                .filter(|entry| entry.level == level)
                .map(|entry| stop(engine, entry));
            // All of a level are waited for, also when one fails: what Docker has accepted goes on.
            let results = join_all(stops).await;
            for result in results {
                result?;
            }
        }
        Ok(())
    }

    pub fn entries(&self) -> &[Entry] {
        &self.file.record.entries
    }

    /// Seconds since just before the first stop was asked; 0 when none was.
    pub fn seconds(&self) -> f64 {
        self.since
            .map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// Starts everything again and forgets the record when all of it runs. Never gives up early, no signal stops it: a
    /// second one only ends the waiting between dependencies.
    pub async fn start(self, engine: &Engine) -> Started {
        let mut started = start::start_all(engine, &self.file.record, &self.shutdown).await;
        started.downtime_seconds = self.seconds();
        start::forget(self.file, &mut started);
        started
    }
}
