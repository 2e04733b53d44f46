//! Starts containers by level, dependencies first, and retries: an engine that restarts, a port that is still held.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::record::{Entry, RecordFile, StopRecord};
use crate::docker::{ContainerInspectResponse, Engine};
use crate::error::Result;
use crate::model::unit::Condition;
use crate::pulse;
use crate::shutdown::Shutdown;

/// How often a container is looked at while something is waited for.
const POLL: Duration = Duration::from_millis(50);
/// Between two tries to start, doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a stop that Docker has accepted may take beyond its grace.
const STOP_SLACK: chrono::Duration = chrono::Duration::seconds(10);

/// What became of the containers. One that is gone is neither up nor stopped, but has a warning.
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

/// Starts what `record` names. A second signal ends the waiting for dependencies, and nothing else.
pub async fn start_all(engine: &Engine, record: &StopRecord, shutdown: &Shutdown) -> Started {
    let patience = Duration::from_secs(record.start_timeout_seconds);
    let mut started = Started::default();
    let highest = record.entries.iter().map(|entry| entry.level).max();
    for level in 0..=highest.unwrap_or(0) {
        let starts = record
            .entries
            .iter()
            .filter(|entry| entry.level == level)
            .map(|entry| async move {
                (
                    entry,
                    bring_up(engine, record, entry, patience, shutdown).await,
                )
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
    started
}

#[derive(Default)]
struct Brought {
    warnings: Vec<String>,
    is_gone: bool,
}

/// Ends when the container runs, or is gone for good, or could not be started within `patience`.
async fn bring_up(
    engine: &Engine,
    record: &StopRecord,
    entry: &Entry,
    patience: Duration,
    shutdown: &Shutdown,
) -> Result<Brought> {
    let mut brought = Brought::default();
    for dependency in &entry.dependencies {
        // What we did not stop is as the operator wants it: nobody waits for that. Those of a circle are of one
        // level and would wait for each other.
        let other = record
            .entries
            .iter()
            .find(|other| other.id == dependency.on && other.level < entry.level);
        let Some(other) = other else {
            continue;
        };
        let doubt = tokio::select! {
            biased;
            () = shutdown.hurried() => Some("was not waited for after a second signal".to_owned()),
            is_ready = is_ready(engine, other, dependency.condition, patience) => (!is_ready)
                .then(|| format!("was not ready within {} s", patience.as_secs())),
        };
        if let Some(doubt) = doubt {
            brought.warnings.push(format!(
                "container `{}` was started although `{}`, which it depends on, {doubt}",
                entry.name, other.name
            ));
        }
    }
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match try_start(engine, entry).await {
            Ok(Attempt::Up) => return Ok(brought),
            Ok(Attempt::Gone) => {
                brought.warnings.push(format!(
                    "container `{}` was removed while it was stopped, so it can't be started",
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
        if Instant::now() + pause > deadline {
            return Err(error);
        }
        warn!("container `{}` does not start yet: {error:#}", entry.name);
        pulse::beat();
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether `entry`, or what took its place, came to `condition`. One that is gone has been told of and is not waited for.
async fn is_ready(
    engine: &Engine,
    entry: &Entry,
    condition: Condition,
    patience: Duration,
) -> bool {
    match find(engine, entry).await {
        Ok(Some(container)) => {
            let id = container.id.as_deref().unwrap_or(&entry.id);
            wait_for(engine, id, condition, patience).await
        }
        Ok(None) => true,
        // An engine that comes back meanwhile.
        Err(_) => wait_for(engine, &entry.id, condition, patience).await,
    }
}

enum Attempt {
    Up,
    Gone,
    /// It ran and ended with this status.
    Fell(i64),
}

async fn try_start(engine: &Engine, entry: &Entry) -> Result<Attempt> {
    let Some(container) = find(engine, entry).await? else {
        return Ok(Attempt::Gone);
    };
    let id = container.id.clone().unwrap_or_else(|| entry.id.clone());
    wait_for_accepted_stop(engine, entry, &id).await?;
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

/// By id, or by project, service and number: it may have been re-created meanwhile.
async fn find(engine: &Engine, entry: &Entry) -> Result<Option<ContainerInspectResponse>> {
    if let Some(container) = engine.inspect(&entry.id).await? {
        return Ok(Some(container));
    }
    let by_labels = match (&entry.project, &entry.service) {
        (Some(project), Some(service)) => {
            engine
                .compose_container(project, service, entry.number)
                .await?
        }
        _ => None,
    };
    match by_labels {
        Some(id) => engine.inspect(&id).await,
        // A standalone container that was re-created has its old name.
        None => engine.inspect(&entry.name).await,
    }
}

/// A container that was asked to stop and still runs is not up: it will be down in a moment.
async fn wait_for_accepted_stop(engine: &Engine, entry: &Entry, id: &str) -> Result<()> {
    let Some(asked_at) = entry.asked_at else {
        return Ok(());
    };
    let until = asked_at + chrono::Duration::seconds(entry.grace_seconds) + STOP_SLACK;
    while chrono::Utc::now() < until {
        let Some(container) = engine.inspect(id).await? else {
            return Ok(());
        };
        let state = container.state.unwrap_or_default();
        let was_started_since = state
            .started_at
            .as_deref()
            .and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok())
            .is_some_and(|time| time > asked_at);
        if !state.running.unwrap_or_default() || was_started_since {
            return Ok(());
        }
        pulse::beat();
        sleep(POLL).await;
    }
    Ok(())
}

/// Whether container `id` came to `condition` within `patience`. One that is gone will not come to anything.
pub async fn wait_for(engine: &Engine, id: &str, condition: Condition, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        match engine.inspect(id).await {
            Ok(Some(container)) if fulfils(&container, condition) => return true,
            Ok(None) => return false,
            // Not yet; there is an end to the waiting.
            Ok(Some(_)) => pulse::beat(),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(POLL).await;
    }
}

fn fulfils(container: &ContainerInspectResponse, condition: Condition) -> bool {
    use crate::docker::HealthStatus;
    let Some(state) = &container.state else {
        return false;
    };
    let is_running = state.running.unwrap_or_default() || state.restarting.unwrap_or_default();
    match condition {
        Condition::ServiceStarted => is_running,
        Condition::ServiceHealthy => {
            is_running
                && state
                    .health
                    .as_ref()
                    .and_then(|health| health.status)
                    .is_none_or(|status| {
                        matches!(
                            status,
                            HealthStatus::HEALTHY | HealthStatus::NONE | HealthStatus::EMPTY
                        )
                    })
        }
        // It ended well before, or it runs again as it did before.
        Condition::ServiceCompletedSuccessfully => is_running || state.exit_code == Some(0),
    }
}

/// Waits for those of `entries` with a health check to get healthy, all at once; says which did not, and which have ended.
pub async fn settle(engine: &Engine, entries: &[Entry], patience: Duration) -> Vec<String> {
    let waits = entries.iter().map(|entry| async move {
        let container = match find(engine, entry).await {
            Ok(Some(container)) => container,
            // Gone: the start has said so.
            Ok(None) => return None,
            Err(error) => {
                return Some(format!(
                    "container `{}` can't be looked at: {error:#}",
                    entry.name
                ));
            }
        };
        let id = container.id.as_deref().unwrap_or(&entry.id);
        if !fulfils(&container, Condition::ServiceStarted) {
            return Some(format!("container `{}` ended after its start", entry.name));
        }
        let is_healthy = !entry.has_healthcheck
            || wait_for(engine, id, Condition::ServiceHealthy, patience).await;
        (!is_healthy).then(|| {
            format!(
                "container `{}` is up but not healthy after {} s",
                entry.name,
                patience.as_secs()
            )
        })
    });
    join_all(waits).await.into_iter().flatten().collect()
}
