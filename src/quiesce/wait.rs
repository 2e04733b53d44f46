//! Waiting until containers are as they should be, without a loop that keeps Docker busy.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::find::find;
use super::record::Entry;
use crate::base::heartbeat;
use crate::drivers::docker::{ContainerInspectResponse, Engine};
use crate::model::unit::Condition;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long one that has ended after its start may take to be up again: what manages services (`docker compose up` in the foreground of
/// a unit of systemd) takes our stop for its end, removes its containers and makes them anew.
const COMING_BACK: Duration = Duration::from_secs(10);

/// How long to pause in a wait that began at `since`: a tenth of what it has taken, so that it is never much longer than it must be,
/// and many that wait ask little.
pub(super) fn pause(since: Instant) -> Duration {
    (since.elapsed() / 10).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Whether container `id` came to `condition` within `patience`. One that is gone will not come to anything.
pub async fn wait_for(engine: &Engine, id: &str, condition: Condition, patience: Duration) -> bool {
    let since = Instant::now();
    loop {
        match engine.inspect(id).await {
            Ok(Some(container)) if fulfils(&container, condition) => return true,
            Ok(None) => return false,
            // Not yet; there is an end to the waiting.
            Ok(Some(_)) => heartbeat::beat(),
            Err(_) => {}
        }
        if since.elapsed() >= patience {
            return false;
        }
        sleep(pause(since)).await;
    }
}

fn fulfils(container: &ContainerInspectResponse, condition: Condition) -> bool {
    use crate::drivers::docker::HealthStatus;
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
                    "container `{}` cannot be inspected: {error:#}",
                    entry.name
                ));
            }
        };
        let Some(id) = comes_back(engine, entry, container, patience).await else {
            return Some(format!("container `{}` ended after its start", entry.name));
        };
        let is_healthy = !entry.has_healthcheck
            || wait_for(engine, &id, Condition::ServiceHealthy, patience).await;
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

/// The id of what runs for `entry`: `container`, or what takes its place. `None` when it has ended and stays so.
async fn comes_back(
    engine: &Engine,
    entry: &Entry,
    container: ContainerInspectResponse,
    patience: Duration,
) -> Option<String> {
    let since = Instant::now();
    let mut found = Some(container);
    loop {
        let id = found.as_ref().and_then(|found| found.id.clone());
        let id = id.unwrap_or_else(|| entry.id.clone());
        let runs = |found: &ContainerInspectResponse| fulfils(found, Condition::ServiceStarted);
        if found.as_ref().is_some_and(runs) {
            return Some(id);
        }
        // What took its place is started by its creator.
        let is_other = found.is_some() && id != entry.id;
        let patience = if is_other {
            patience
        } else {
            patience.min(COMING_BACK)
        };
        if since.elapsed() >= patience {
            return None;
        }
        heartbeat::beat();
        sleep(pause(since)).await;
        found = find(engine, entry).await.ok().flatten();
    }
}
