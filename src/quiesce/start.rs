//! Starts containers by level, dependencies first, and retries: an engine that restarts, a port that is still held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{FutureExt as _, Shared, join_all};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::find::find;
use super::record::{Entry, RecordFile, StopRecord};
pub use super::wait::{settle, wait_for};
use crate::base::heartbeat;
use crate::base::shutdown::Shutdown;
use crate::drivers::docker::{ContainerInspectResponse, Engine};
use crate::error::{Exit, Result, exit_of};
use crate::model::unit::Condition;

/// Between two tries to start, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between two looks for a Docker that is away: nothing is asked of it, and services are down.
const LONGEST_PAUSE_WITHOUT_DOCKER: Duration = Duration::from_secs(1);
/// What a stop that Docker has accepted may take beyond its grace.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// How long the run that stopped the containers waits for a Docker that is away: until an operator has noticed. Nothing better could be done
/// meanwhile, since nothing can be backed up without Docker.
pub const ENGINE_PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The state of the containers. One that is gone is neither up nor stopped, but has a warning.
#[derive(Debug, Default)]
pub struct Started {
    /// Names of those that run.
    pub up: Vec<String>,
    /// Names of those that are not up, each with the reason.
    pub still_stopped: Vec<(String, String)>,
    /// Things to tell, such as a container that is gone.
    pub warnings: Vec<String>,
    /// From just before the first stop was asked until the last start was done; 0 for what an earlier run had stopped.
    pub downtime_seconds: f64,
}

/// Removes `file` when all that it names runs.
pub(super) fn forget(file: RecordFile, started: &mut Started) {
    if started.still_stopped.is_empty()
        && let Err(error) = file.clear()
    {
        started.warnings.push(format!("{error:#}"));
    }
}

/// Which signal ends the waiting for dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hurry {
    /// The containers were stopped long ago, and this can be repeated.
    AtFirstSignal,
    /// The first one ended what they were stopped for.
    AtSecondSignal,
}

/// What all starts of a record share.
struct Starting<'a> {
    engine: &'a Engine,
    record: &'a StopRecord,
    shutdown: &'a Shutdown,
    hurry: Hurry,
    /// With a container, while Docker answers.
    patience: Duration,
    /// With a Docker that does not.
    engine_patience: Duration,
    /// One message for all of them.
    is_outage_told: AtomicBool,
}

/// Starts what `record` names. The signal that `hurry` names ends the waiting for dependencies, and nothing else. A Docker that is away is
/// waited for as long as `engine_patience`; after a signal no longer than for a container.
pub async fn start_all(
    engine: &Engine,
    record: &StopRecord,
    engine_patience: Duration,
    shutdown: &Shutdown,
    hurry: Hurry,
) -> Started {
    let starting = Starting {
        engine,
        record,
        shutdown,
        hurry,
        patience: Duration::from_secs(record.start_timeout_seconds),
        engine_patience,
        is_outage_told: AtomicBool::new(false),
    };
    let mut levels: Vec<usize> = record.entries.iter().map(|entry| entry.level).collect();
    levels.sort_unstable();
    levels.dedup();
    let mut started = Started::default();
    for level in levels {
        starting.level(level, &mut started).await;
    }
    started
}

#[derive(Default)]
struct Brought {
    warnings: Vec<String>,
    is_gone: bool,
}

impl Starting<'_> {
    async fn level(&self, level: usize, started: &mut Started) {
        let of_level = || {
            self.record
                .entries
                .iter()
                .filter(move |entry| entry.level == level)
        };
        // Each is asked for once, however many need it.
        let mut awaited: Vec<(&Entry, Condition)> = Vec::new();
        for need in of_level().flat_map(|entry| self.needs(entry)) {
            if !awaited.contains(&need) {
                awaited.push(need);
            }
        }
        let waits: Vec<_> = awaited
            .iter()
            .map(|(other, condition)| self.is_ready(other, *condition).boxed().shared())
            .collect();
        let starts = of_level().map(|entry| {
            let waits = self.needs(entry).into_iter().filter_map(|need| {
                let index = awaited.iter().position(|known| *known == need)?;
                Some((need.0, waits.get(index)?.clone()))
            });
            let waits: Vec<_> = waits.collect();
            async move { (entry, self.bring_up(entry, waits).await) }
        });
        for (entry, outcome) in join_all(starts).await {
            match outcome {
                Ok(brought) => {
                    started.warnings.extend(brought.warnings);
                    if !brought.is_gone {
                        started.up.push(entry.name.clone());
                    }
                }
                Err(error) => started
                    .still_stopped
                    .push((entry.name.clone(), format!("{error:#}"))),
            }
        }
    }

    async fn hurried(&self) {
        match self.hurry {
            Hurry::AtFirstSignal => self.shutdown.asked().await,
            Hurry::AtSecondSignal => self.shutdown.hurried().await,
        }
    }

    /// What `entry` waits for before its start. What we did not stop is as the operator wants it and is not waited for. Those of a
    /// circle are of one level and would wait for each other.
    fn needs(&self, entry: &Entry) -> Vec<(&Entry, Condition)> {
        let needs = entry.dependencies.iter().filter_map(|dependency| {
            let other = self
                .record
                .entries
                .iter()
                .find(|other| other.id == dependency.on && other.level < entry.level)?;
            // A health that was bad before, or that nothing checks, does not get better by waiting.
            let condition = match dependency.condition {
                Condition::ServiceHealthy if !other.has_healthcheck => Condition::ServiceStarted,
                condition => condition,
            };
            Some((other, condition))
        });
        needs.collect()
    }

    /// Ends when the container runs, or is gone for good, or could not be started within the patience.
    async fn bring_up<F>(&self, entry: &Entry, waits: Vec<(&Entry, Shared<F>)>) -> Result<Brought>
    where
        F: Future<Output = bool>,
    {
        let mut brought = Brought::default();
        let ready = join_all(waits.into_iter().map(|(other, is_ready)| async move {
            let doubt = tokio::select! {
                biased;
                () = self.hurried() => Some("was not waited for after a signal".to_owned()),
                is_ready = is_ready => (!is_ready)
                    .then(|| format!("was not ready within {} s", self.patience.as_secs())),
            };
            (other, doubt)
        }));
        for (other, doubt) in ready.await {
            if let Some(doubt) = doubt {
                brought.warnings.push(format!(
                    "container `{}` was started although `{}`, which it depends on, {doubt}",
                    entry.name, other.name
                ));
            }
        }
        let mut pause = FIRST_PAUSE;
        // While Docker answered: what it does not do is not the container's fault.
        let mut spent = Duration::ZERO;
        let mut lost_since = None;
        let mut told = String::new();
        loop {
            let began = Instant::now();
            let error = match self.try_start(entry).await {
                Ok(Attempt::Up) => return Ok(brought),
                Ok(Attempt::Gone) => {
                    brought.warnings.push(format!(
                        "container `{}` was removed while it was stopped, so it cannot be started",
                        entry.name
                    ));
                    brought.is_gone = true;
                    return Ok(brought);
                }
                Ok(Attempt::Fell(code)) => {
                    anyhow::anyhow!("it ended right after its start, with status {code}")
                }
                Err(error) => error,
            };
            if exit_of(&error) == Exit::Docker {
                pause = pause.min(LONGEST_PAUSE_WITHOUT_DOCKER);
                let since = *lost_since.get_or_insert(began);
                let limit = if self.shutdown.is_asked() {
                    self.patience.min(self.engine_patience)
                } else {
                    self.engine_patience
                };
                if since.elapsed() + pause > limit {
                    return Err(error);
                }
                if !self.is_outage_told.swap(true, Ordering::Relaxed) {
                    warn!(
                        "container `{}` does not start yet: {error:#}. All that was stopped is started as soon as Docker answers",
                        entry.name
                    );
                }
            } else {
                if lost_since.take().is_some() {
                    info!("Docker answers again");
                    pause = FIRST_PAUSE;
                }
                spent += began.elapsed() + pause;
                if spent > self.patience {
                    return Err(error);
                }
                let text = format!("{error:#}");
                if text != told {
                    warn!("container `{}` does not start yet: {text}", entry.name);
                    told = text;
                }
            }
            heartbeat::beat();
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether `entry`, or what took its place, came to `condition`. One that is gone has been told of and is not waited for.
    async fn is_ready(&self, entry: &Entry, condition: Condition) -> bool {
        let engine = self.engine;
        match find(engine, entry).await {
            Ok(Some(container)) => {
                let id = container.id.as_deref().unwrap_or(&entry.id);
                wait_for(engine, id, condition, self.patience).await
            }
            Ok(None) => true,
            // An engine that comes back meanwhile.
            Err(_) => wait_for(engine, &entry.id, condition, self.patience).await,
        }
    }

    async fn try_start(&self, entry: &Entry) -> Result<Attempt> {
        let engine = self.engine;
        let Some(container) = find(engine, entry).await? else {
            return Ok(Attempt::Gone);
        };
        let id = container.id.clone().unwrap_or_else(|| entry.id.clone());
        self.wait_for_accepted_stop(entry, &id, container).await?;
        engine.start(&id).await?;
        let Some(container) = engine.inspect(&id).await? else {
            return Ok(Attempt::Gone);
        };
        let state = container.state.unwrap_or_default();
        if state.running.unwrap_or_default() || state.restarting.unwrap_or_default() {
            info!("container `{}` is up", entry.name);
            return Ok(Attempt::Up);
        }
        Ok(Attempt::Fell(state.exit_code.unwrap_or_default()))
    }

    /// A container that was asked to stop and still runs is not up: it will be down in a moment. Bounded by the monotonic clock.
    async fn wait_for_accepted_stop(
        &self,
        entry: &Entry,
        id: &str,
        container: ContainerInspectResponse,
    ) -> Result<()> {
        let Some(asked_at) = entry.asked_at.filter(|_| self.record.is_of_this_boot()) else {
            return Ok(());
        };
        let since = Instant::now();
        let limit = Duration::from_secs(entry.grace_seconds.unsigned_abs()) + STOP_SLACK;
        let mut container = Some(container);
        while let Some(found) = container.take() {
            let state = found.state.unwrap_or_default();
            let was_started_since = state
                .started_at
                .as_deref()
                .and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok())
                .is_some_and(|time| time > asked_at);
            if !state.running.unwrap_or_default() || was_started_since || since.elapsed() > limit {
                return Ok(());
            }
            heartbeat::beat();
            sleep(super::wait::pause(since)).await;
            container = self.engine.inspect(id).await?;
        }
        Ok(())
    }
}

enum Attempt {
    Up,
    Gone,
    /// It ran and ended with this status.
    Fell(i64),
}
