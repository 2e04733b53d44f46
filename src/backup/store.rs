//! What goes on after the window: kopia drains a spool and commits, if and only if the reading ended well.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::spool::{KopiaLeft, Spool};
use crate::error::{Failure, Result};
use crate::kopia::{Accepted, Kopia, NewSnapshot, Progress, Stream};
use crate::pulse;
use crate::shutdown::Shutdown;

/// A source that is on its way into the repository, in a task of its own.
pub struct Storing {
    verdict: Option<oneshot::Sender<u64>>,
    task: JoinHandle<Result<Accepted>>,
}

/// Why nothing was stored: the reading failed, and its own error tells more.
#[derive(Debug, thiserror::Error)]
#[error("it could not be read to its end")]
pub struct NotRead;

/// What every task that stores gets.
#[derive(Clone)]
pub struct Store {
    pub kopia: Kopia,
    /// How many kopia processes there may be.
    pub slots: Arc<Semaphore>,
    pub stall: Duration,
    pub shutdown: Shutdown,
}

/// A kopia that waits for its input, and the place that it has among the workers.
pub struct Opened {
    stream: Stream,
    sink: OwnedFd,
    slot: tokio::sync::OwnedSemaphorePermit,
}

impl Store {
    /// Waits for a place, then for a kopia that is ready to read.
    pub async fn open(&self, new: &NewSnapshot) -> Result<Opened> {
        let slot = Arc::clone(&self.slots).acquire_owned().await?;
        let (stream, sink) = Stream::open(&self.kopia, new, self.stall).await?;
        Ok(Opened { stream, sink, slot })
    }

    /// Starts to store what comes into `spool`: with `opened`, or with a kopia of its own when there is a place.
    /// `place` is given back when the spool is no longer needed.
    pub fn start(
        &self,
        new: NewSnapshot,
        opened: Option<Opened>,
        spool: Arc<Spool>,
        place: OwnedSemaphorePermit,
    ) -> Storing {
        let (verdict, is_read) = oneshot::channel();
        let store = self.clone();
        let task = tokio::spawn(async move {
            let result = store.run(&new, opened, &spool, is_read).await;
            // Kopia is gone by now, whatever the result.
            spool.abort();
            drop(spool);
            drop(place);
            result
        });
        Storing {
            verdict: Some(verdict),
            task,
        }
    }

    async fn run(
        &self,
        new: &NewSnapshot,
        opened: Option<Opened>,
        spool: &Spool,
        mut is_read: oneshot::Receiver<u64>,
    ) -> Result<Accepted> {
        let opened = match opened {
            Some(opened) => opened,
            None => tokio::select! {
                biased;
                () = self.shutdown.asked() => return Err(self.interrupted()),
                opened = self.open(new) => opened?,
            },
        };
        let Opened {
            mut stream,
            sink,
            slot: _slot,
        } = opened;
        let progress = stream.progress();
        let broken = broken(spool.drain(sink)?);
        tokio::pin!(broken);
        let size = tokio::select! {
            biased;
            () = self.shutdown.asked() => Err(self.interrupted()),
            size = &mut is_read => size.map_err(|_| NotRead.into()),
            error = stream.ended_early() => return Err(error),
            error = &mut broken => Err(error),
            () = self.stalled(spool, &progress) => {
                return Err(stream.give_up(self.stall.as_secs()).await);
            }
        };
        let size = match size {
            Ok(size) => size,
            Err(error) => {
                stream.kill().await;
                return Err(error);
            }
        };
        spool.commit();
        let taken = spool.taken();
        let accepted = tokio::select! {
            biased;
            () = self.shutdown.asked() => Err(self.interrupted()),
            error = &mut broken => Err(error),
            accepted = stream.finish(size, &taken, self.stall) => accepted,
        };
        if accepted.is_err() {
            stream.kill().await;
        }
        accepted
    }

    /// Resolves when kopia has taken nothing and told of no progress for too long although something was there for it.
    async fn stalled(&self, spool: &Spool, progress: &Progress) {
        let taken = spool.taken();
        let mut last = (taken.total(), progress.figures());
        let mut since = Instant::now();
        loop {
            sleep((self.stall / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))).await;
            let now = (taken.total(), progress.figures());
            if now != last {
                pulse::beat();
            }
            if now != last || !spool.waits_for_kopia() {
                last = now;
                since = Instant::now();
            } else if since.elapsed() >= self.stall {
                return;
            }
        }
    }

    fn interrupted(&self) -> anyhow::Error {
        Failure::new(self.shutdown.exit(), "a signal ended the run").into()
    }
}

/// Resolves when the drainer has failed, unless that is the end of kopia, which is told by itself.
async fn broken(drained: oneshot::Receiver<Result<()>>) -> anyhow::Error {
    match drained.await {
        Ok(Err(error)) if !error.is::<KopiaLeft>() => error,
        Ok(_) => std::future::pending().await,
        Err(_) => anyhow::anyhow!("the thread that feeds kopia has ended"),
    }
}

impl Storing {
    /// The reading ended well, after `bytes`. Without this kopia is killed.
    pub fn commit(&mut self, bytes: u64) {
        if let Some(verdict) = self.verdict.take() {
            // A task that has ended has its own error to tell.
            let _ = verdict.send(bytes);
        }
    }

    /// The reading failed: kopia is killed before it can see an end of its input.
    pub fn reject(&mut self) {
        self.verdict = None;
    }

    pub async fn finish(self) -> Result<Accepted> {
        drop(self.verdict);
        self.task.await?
    }
}
