//! Stop and start: each a single request whose outcome is told exactly.

use std::time::Duration;

use super::engine::{Engine, PATIENCE};
use super::raw::encoded;
use crate::error::Result;

/// How much longer than the grace a stop may take: Docker kills when the grace is over, and then the kernel has
/// to end the processes and Docker to write down that they ended.
const KILLING: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was running; now it is not.
    Now,
    /// There was nothing to stop.
    Already,
    /// There is no such container.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    Now,
    /// It was running.
    Already,
    Gone,
}

impl Engine {
    /// Asks the container to end, kills it after `grace_seconds` (negative: never), and waits for the end of it.
    ///
    /// When the connection is lost meanwhile, the stop goes on without us: look before assuming anything.
    pub async fn stop(&self, id: &str, grace_seconds: i64) -> Result<Stopped> {
        let limit = u64::try_from(grace_seconds)
            .ok()
            .map(|grace| Duration::from_secs(grace).saturating_add(KILLING));
        let path = format!("/containers/{}/stop?t={grace_seconds}", encoded(id));
        match self.post(&path, limit, &[204, 304, 404]).await {
            Ok(204) => Ok(Stopped::Now),
            Ok(304) => Ok(Stopped::Already),
            Ok(_) => Ok(Stopped::Gone),
            Err(error) => Err(error.doing(format!("container `{id}` cannot be stopped"))),
        }
    }

    pub async fn start(&self, id: &str) -> Result<Started> {
        let path = format!("/containers/{}/start", encoded(id));
        match self.post(&path, Some(PATIENCE), &[204, 304, 404]).await {
            Ok(204) => Ok(Started::Now),
            Ok(304) => Ok(Started::Already),
            // Docker says 404 also for an image or network that the container needs; then the container is there.
            Ok(_) if self.inspect(id).await?.is_some() => {
                anyhow::bail!(
                    "container `{id}` cannot be started: something that it needs is gone (its network or image?)"
                )
            }
            Ok(_) => Ok(Started::Gone),
            Err(error) => Err(error.doing(format!("container `{id}` cannot be started"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn stop_and_start_tell_what_they_did() {
        let Some(engine) = testing::engine().await else {
            return;
        };
        let id = testing::run(&engine, "kdd-lifecycle", &[]).await;
        assert_eq!(engine.stop(&id, 10).await.unwrap(), Stopped::Now);
        assert_eq!(engine.stop(&id, 10).await.unwrap(), Stopped::Already);
        assert_eq!(engine.start(&id).await.unwrap(), Started::Now);
        assert_eq!(engine.start(&id).await.unwrap(), Started::Already);
        assert!(
            engine
                .running()
                .await
                .unwrap()
                .iter()
                .any(|c| c.id == id && c.name == "kdd-lifecycle")
        );
        testing::remove(&engine, &id).await;
        assert_eq!(engine.stop(&id, 10).await.unwrap(), Stopped::Gone);
        assert_eq!(engine.start(&id).await.unwrap(), Started::Gone);
        assert!(engine.inspect(&id).await.unwrap().is_none());
        assert!(engine.raw_container(&id).await.unwrap().is_none());
    }
}
