//! What changed on the host since it was looked at: so that a run over many units need not look at all of it again for each.

use std::collections::BTreeSet;

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptionsBuilder;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::engine::Engine;
use super::events::{of, timestamp};

/// Hears of changes from the moment it was made.
#[must_use = "it hears as long as it lives"]
#[derive(Debug)]
pub struct Follower {
    heard: UnboundedReceiver<Change>,
}

#[derive(Debug)]
enum Change {
    Container(String),
    Volumes,
}

/// What changed since the last time that it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Changes {
    /// Containers to be inspected again, some of which may be gone, and whether the volumes have to be listed again.
    Known {
        containers: BTreeSet<String>,
        volumes: bool,
    },
    /// The connection broke: anything may have changed.
    Unknown,
}

impl Engine {
    /// Follows from now on, by the clock of this host. Nothing is waited for.
    pub fn follow(&self) -> Follower {
        let (sender, heard) = mpsc::unbounded_channel();
        tokio::spawn(hear(self.clone(), Utc::now(), sender));
        Follower { heard }
    }
}

impl Follower {
    /// What happened in the last moments may still be on its way: check again before stopping containers.
    pub fn changes(&mut self) -> Changes {
        use mpsc::error::TryRecvError;
        let mut containers = BTreeSet::new();
        let mut volumes = false;
        loop {
            match self.heard.try_recv() {
                Ok(Change::Container(id)) => {
                    containers.insert(id);
                }
                Ok(Change::Volumes) => volumes = true,
                Err(TryRecvError::Empty) => {
                    return Changes::Known {
                        containers,
                        volumes,
                    };
                }
                Err(TryRecvError::Disconnected) => return Changes::Unknown,
            }
        }
    }
}

/// Ends, and closes the channel, when something may have been missed.
async fn hear(engine: Engine, since: DateTime<Utc>, sender: UnboundedSender<Change>) {
    let filters = of(&["container", "volume", "network"]);
    let options = EventsOptionsBuilder::new()
        .since(&timestamp(since))
        .filters(&filters)
        .build();
    let mut events = engine.docker.events(Some(options));
    loop {
        let event = tokio::select! {
            () = sender.closed() => return,
            event = events.next() => event,
        };
        let Some(Ok(event)) = event else {
            return;
        };
        if let Some(change) = change(event) {
            let _ = sender.send(change);
        }
    }
}

fn change(event: EventMessage) -> Option<Change> {
    let action = event.action?;
    let actor = event.actor?;
    match event.typ? {
        // Others, such as `exec_start: …` and `health_status: …`, change nothing that is looked at.
        EventMessageTypeEnum::CONTAINER => matches!(
            action.as_str(),
            "create" | "destroy" | "start" | "die" | "pause" | "unpause" | "rename" | "update"
        )
        .then(|| actor.id.map(Change::Container))?,
        EventMessageTypeEnum::NETWORK => {
            let mut attributes = actor.attributes?;
            attributes.remove("container").map(Change::Container)
        }
        EventMessageTypeEnum::VOLUME => {
            matches!(action.as_str(), "create" | "destroy").then_some(Change::Volumes)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn what_happens_to_a_container_is_heard_and_a_lost_connection_too() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        let mut follower = engine.follow();
        let id = testing::run(&engine, "kdd-follow", &["kdd-follow:/d"]).await;
        let heard = async {
            let (mut seen, mut volumes) = (BTreeSet::new(), false);
            while !seen.contains(&id) || !volumes {
                match follower.changes() {
                    Changes::Known {
                        containers,
                        volumes: now,
                    } => {
                        seen.extend(containers);
                        volumes |= now;
                    }
                    Changes::Unknown => panic!("the connection broke"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let bound = std::time::Duration::from_secs(30);
        tokio::time::timeout(bound, heard).await.unwrap();
        testing::remove(&engine, &id).await;
        testing::remove_volume(&engine, "kdd-follow").await;
    }
}
