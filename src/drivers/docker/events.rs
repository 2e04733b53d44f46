//! What was started while nothing should have been.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;
use crate::error::Result;
use crate::model::unit::Mount;

/// How much later than dockerd knows it a start is heard of, when much is going on.
const LAG: Duration = Duration::from_millis(300);

/// A container that came to life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartEvent {
    pub id: String,
    pub name: String,
    /// `start`, `unpause`, `restart` or `extract-to-dir` (`docker cp` into it).
    pub action: String,
    pub time: DateTime<Utc>,
    /// `None` when it was gone before it could be asked.
    pub mounts: Option<Vec<Mount>>,
}

/// Hears of every container that comes to life, from the moment it was made.
///
/// Asking afterwards is not enough: dockerd remembers its last 256 events (moby, `daemon/events`: `eventsLimit`), a
/// health check makes three of them, and a restart of dockerd forgets them all. And a container that was removed
/// again cannot be asked any more what it had mounted.
#[must_use = "it hears as long as it lives"]
#[derive(Debug)]
pub struct Listener {
    engine: Engine,
    since: DateTime<Utc>,
    heard: UnboundedReceiver<StartEvent>,
    /// Those that were waited for, until all are asked for.
    kept: Vec<StartEvent>,
}

impl Engine {
    /// Listens from now on, by the clock of this host. Nothing is waited for.
    pub fn listen(&self) -> Listener {
        let since = Utc::now();
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(hear(self.clone(), since, sender));
        Listener {
            engine: self.clone(),
            since,
            heard,
            kept: Vec::new(),
        }
    }

    /// What dockerd remembers of the starts from `since` to `until`, oldest first.
    async fn remembered_starts(
        &self,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<StartEvent>> {
        let options = EventsOptionsBuilder::new()
            .since(&timestamp(since))
            .until(&timestamp(until))
            .filters(&of(&["container"]))
            .build();
        let all = self
            .docker
            .events(Some(options))
            .map(|event| event.map_err(EngineError::from))
            .try_collect::<Vec<_>>();
        let all = bounded(PATIENCE, all)
            .await
            .map_err(|error| error.doing("Docker's events cannot be read"))?;
        Ok(all.into_iter().filter_map(start).collect())
    }
}

/// Sends every start until the receiver is dropped. Ends early when one may have been missed.
async fn hear(engine: Engine, since: DateTime<Utc>, sender: UnboundedSender<StartEvent>) {
    // What happens before the connection stands is told by it all the same.
    let options = EventsOptionsBuilder::new()
        .since(&timestamp(since))
        .filters(&of(&["container"]))
        .build();
    let mut events = engine.docker.events(Some(options));
    // Asked as soon as they are made: a short-lived one is gone before its start is heard of.
    let mut made = HashMap::new();
    loop {
        let event = tokio::select! {
            () = sender.closed() => return,
            event = events.next() => event,
        };
        let Some(Ok(event)) = event else {
            return;
        };
        if let Some(id) = created(&event) {
            let mounts = engine.listed_mounts(&id).await.unwrap_or_default();
            made.insert(id, mounts);
        } else if let Some(mut start) = start(event) {
            start.mounts = match made.get(&start.id) {
                Some(Some(mounts)) => Some(mounts.clone()),
                _ => engine.listed_mounts(&start.id).await.unwrap_or_default(),
            };
            let _ = sender.send(start);
        }
    }
}

impl Listener {
    /// Waits for a start that `matters`, or until something may have been missed.
    pub async fn disturbed(&mut self, matters: impl Fn(&StartEvent) -> bool) {
        while let Some(event) = self.heard.recv().await {
            let is_it = matters(&event);
            self.kept.push(event);
            if is_it {
                return;
            }
        }
    }

    /// Everything until now, oldest first; an error when something may have been missed.
    pub async fn starts(mut self) -> Result<Vec<StartEvent>> {
        // What happened last may still be on its way to us, but dockerd remembers it.
        let remembered = self
            .engine
            .remembered_starts(self.since, Utc::now())
            .await?;
        let mut starts = std::mem::take(&mut self.kept);
        while let Some(event) = self.next(Duration::ZERO).await? {
            starts.push(event);
        }
        for mut event in remembered {
            let is_same = |heard: &StartEvent| heard.id == event.id && heard.time == event.time;
            let mut is_heard = starts.iter().any(is_same);
            while !is_heard && let Some(heard) = self.next(LAG).await? {
                is_heard = is_same(&heard);
                starts.push(heard);
            }
            if !is_heard {
                event.mounts = self.engine.listed_mounts(&event.id).await?;
                starts.push(event);
            }
        }
        starts.sort_by_key(|event| event.time);
        Ok(starts)
    }

    async fn next(&mut self, patience: Duration) -> Result<Option<StartEvent>> {
        match tokio::time::timeout(patience, self.heard.recv()).await {
            Ok(Some(event)) => Ok(Some(event)),
            Ok(None) => anyhow::bail!("the connection to Docker was lost for a while"),
            Err(_) => Ok(None),
        }
    }
}

/// Events of these types alone: one of a type that the client does not know, as Podman has some, would end the stream.
pub fn of(types: &[&str]) -> HashMap<String, Vec<String>> {
    let types = types.iter().map(|name| (*name).to_owned());
    HashMap::from([("type".to_owned(), types.collect())])
}

/// Seconds with nanoseconds, as the API takes it.
pub fn timestamp(time: DateTime<Utc>) -> String {
    format!("{}.{:09}", time.timestamp(), time.timestamp_subsec_nanos())
}

fn created(event: &EventMessage) -> Option<String> {
    let is_created = event.typ == Some(EventMessageTypeEnum::CONTAINER)
        && event.action.as_deref() == Some("create");
    event.actor.as_ref().filter(|_| is_created)?.id.clone()
}

fn start(event: EventMessage) -> Option<StartEvent> {
    let action = event.action?;
    if event.typ != Some(EventMessageTypeEnum::CONTAINER)
        || !matches!(
            action.as_str(),
            "start" | "unpause" | "restart" | "extract-to-dir"
        )
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
        mounts: None,
        time: DateTime::from_timestamp_nanos(event.time_nano?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// Answers as Podman 4 does, which sends events of pods as well to who asks for all.
    fn podman(listener: std::os::unix::net::UnixListener) {
        use std::io::{Read as _, Write as _};
        let event = |kind: &str| {
            format!(
                r#"{{"Type":"{kind}","Action":"start","timeNano":1700000000000000000,"Actor":{{"ID":"abc","Attributes":{{"name":"it"}}}}}}"#
            ) + "\n"
        };
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            // The first only tries whether anything listens.
            let Ok(length @ 1..) = stream.read(&mut request) else {
                continue;
            };
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let (status, body) = if request.contains("/version") {
                (
                    200,
                    r#"{"Version": "4.3.1", "ApiVersion": "1.41"}"#.to_owned(),
                )
            } else if request.contains("/events") && request.contains("filters=") {
                (200, event("container"))
            } else if request.contains("/events") {
                (200, event("pod") + &event("container"))
            } else {
                (404, r#"{"message": "no such container"}"#.to_owned())
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all((head + &body).as_bytes()).unwrap();
        }
    }

    #[tokio::test]
    async fn what_podman_tells_of_pods_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        std::thread::spawn(|| podman(listener));
        let engine = Engine::connect(&path).await.unwrap();
        let now = Utc::now();
        let starts = engine.remembered_starts(now, now).await.unwrap();
        assert_eq!(starts.len(), 1);
        assert_eq!(starts[0].name, "it");
    }

    #[tokio::test]
    async fn a_restart_behind_our_back_is_seen_and_one_before_is_not() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        let before = engine.listen();
        let id = testing::run(&engine, "kdd-events", &[]).await;
        let listener = engine.listen();
        let since = Utc::now();
        engine.stop(&id, 10).await.unwrap();
        engine.start(&id).await.unwrap();
        let until = Utc::now();
        let after = engine.listen();
        let ours = |starts: Vec<StartEvent>| -> Vec<_> {
            starts.into_iter().filter(|event| event.id == id).collect()
        };

        let seen = ours(listener.starts().await.unwrap());
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(
            (seen[0].name.as_str(), seen[0].action.as_str()),
            ("kdd-events", "start")
        );
        assert!(seen[0].time >= since && seen[0].time <= until);
        assert_eq!(seen[0].mounts, Some(Vec::new()));
        assert_eq!(ours(before.starts().await.unwrap()).len(), 2);
        assert_eq!(ours(after.starts().await.unwrap()), []);
        testing::remove(&engine, &id).await;
    }
}
