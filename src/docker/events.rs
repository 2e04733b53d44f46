//! What was started while nothing should have been.

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use crate::error::Result;

/// dockerd remembers this many events (moby, `daemon/events`: `eventsLimit`). Health checks make three each, so
/// on a busy host the memory goes back only seconds.
const REMEMBERED: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartEvent {
    pub id: String,
    pub name: String,
    /// `start`, `unpause` or `restart`.
    pub action: String,
    pub time: DateTime<Utc>,
}

/// Containers that came to life in a span of time, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starts {
    pub events: Vec<StartEvent>,
    /// False when so much happened that Docker may have forgotten the beginning: then the containers' own
    /// `State.StartedAt` has to be looked at as well.
    pub is_complete: bool,
}

impl Engine {
    /// What was started, unpaused or restarted from `since` to `until`, both by the clock of this host.
    pub async fn starts_between(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Starts> {
        // No filter: how many events there were tells whether the memory held them all.
        let options = EventsOptionsBuilder::new()
            .since(&timestamp(since))
            .until(&timestamp(until))
            .build();
        let all = self
            .docker
            .events(Some(options))
            .map(|event| event.map_err(EngineError::from))
            .try_collect::<Vec<_>>();
        let all = bounded(PATIENCE, all)
            .await
            .map_err(|error| error.doing("Docker's events can't be read"))?;
        Ok(Starts {
            is_complete: all.len() < REMEMBERED,
            events: all.into_iter().filter_map(start).collect(),
        })
    }
}

/// Seconds with nanoseconds, as the API takes it.
fn timestamp(time: DateTime<Utc>) -> String {
    format!("{}.{:09}", time.timestamp(), time.timestamp_subsec_nanos())
}

fn start(event: EventMessage) -> Option<StartEvent> {
    let action = event.action?;
    if event.typ != Some(EventMessageTypeEnum::CONTAINER)
        || !matches!(action.as_str(), "start" | "unpause" | "restart")
    {
        return None;
    }
    let actor = event.actor?;
    let id = actor.id?;
    Some(StartEvent {
        name: actor
            .attributes
            .and_then(|mut attributes| attributes.remove("name"))
            .unwrap_or_else(|| id.clone()),
        id,
        action,
        time: DateTime::from_timestamp_nanos(event.time_nano?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::testing;

    #[tokio::test]
    async fn a_restart_behind_our_back_is_seen_and_one_before_is_not() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        let before = Utc::now();
        let id = testing::run(&engine, "kdd-events", &[]).await;
        let since = Utc::now();
        engine.stop(&id, 10).await.unwrap();
        engine.start(&id).await.unwrap();
        let until = Utc::now();
        let ours = |starts: Starts| -> Vec<_> {
            starts
                .events
                .into_iter()
                .filter(|event| event.id == id)
                .collect()
        };

        let seen = ours(engine.starts_between(since, until).await.unwrap());
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(
            (seen[0].name.as_str(), seen[0].action.as_str()),
            ("kdd-events", "start")
        );
        assert!(seen[0].time >= since && seen[0].time <= until);
        assert_eq!(
            ours(engine.starts_between(before, until).await.unwrap()).len(),
            2
        );
        assert_eq!(
            ours(engine.starts_between(until, Utc::now()).await.unwrap()),
            []
        );
        testing::remove(&engine, &id).await;
    }
}
