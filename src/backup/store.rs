//! What goes on after the window: kopia drains a spool and commits, if and only if the reading ended well.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::read::{timed_out, too_long};
use super::spool::{KopiaLeft, Spool};
use crate::base::activity::silent_for;
use crate::base::fault;
use crate::base::shutdown::Shutdown;
use crate::drivers::kopia::{Accepted, Kopia, Life, NewSnapshot, Stream};
use crate::error::{Failure, Result};
use crate::repository::Site;

/// A source that is on its way into the repository, in a task of its own.
pub struct Storing {
    begun: Option<oneshot::Sender<()>>,
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
    pub site: Site,
    /// How many kopia processes there may be.
    pub slots: Arc<Semaphore>,
    pub stall: Duration,
    /// For one source, from the beginning of its reading.
    pub task: Option<Duration>,
    pub shutdown: Shutdown,
}

/// Kopia takes what is not named by a snapshot for garbage when it is a day old. A stream that took longer than this is looked at
/// once more before a recipe names it.
const LONG: Duration = Duration::from_secs(20 * 3600);

/// A kopia that waits for its input, and the place that it has among the workers.
pub struct Opened {
    stream: Stream,
    sink: OwnedFd,
    slot: OwnedSemaphorePermit,
}

impl Opened {
    /// The kopia, the only end of its input that can be written to, and the place that it has.
    pub fn into_parts(self) -> (Stream, OwnedFd, OwnedSemaphorePermit) {
        (self.stream, self.sink, self.slot)
    }
}

impl Store {
    /// Waits for a place, then for a kopia that is ready to read.
    pub async fn open(&self, new: &NewSnapshot) -> Result<Opened> {
        let slot = Arc::clone(&self.slots).acquire_owned().await?;
        let opening = Stream::open(&self.kopia, new, self.stall);
        let (stream, sink) = self.site.opened(opening).await?;
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
        let (begun, is_begun) = oneshot::channel();
        let store = self.clone();
        let task = tokio::spawn(async move {
            let time = over(is_begun, store.task);
            tokio::pin!(time);
            let opened = store.opened(&new, opened, &mut time).await;
            let was_opened = opened.is_ok();
            let result = match opened {
                Ok(opened) => store.run(opened, &spool, is_read, time).await,
                Err(error) => Err(error),
            };
            // Kopia is gone by now, whatever the result.
            spool.abort();
            drop(spool);
            drop(place);
            if was_opened {
                store.site.explained(result).await
            } else {
                result
            }
        });
        Storing {
            begun: Some(begun),
            verdict: Some(verdict),
            task,
        }
    }

    /// `opened`, or a kopia of its own.
    async fn opened(
        &self,
        new: &NewSnapshot,
        opened: Option<Opened>,
        over: impl Future<Output = ()>,
    ) -> Result<Opened> {
        if let Some(opened) = opened {
            return Ok(opened);
        }
        tokio::select! {
            biased;
            () = self.shutdown.asked() => Err(self.interrupted()),
            () = over => Err(self.too_long()),
            opened = self.open(new) => opened,
        }
    }

    async fn run(
        &self,
        opened: Opened,
        spool: &Spool,
        mut is_read: oneshot::Receiver<u64>,
        mut over: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Accepted> {
        let Opened {
            mut stream,
            sink,
            slot: _slot,
        } = opened;
        let since = Instant::now();
        let life = stream.life();
        let broken = broken(spool.drain(sink)?);
        tokio::pin!(broken);
        let size = tokio::select! {
            biased;
            () = self.shutdown.asked() => Err(self.interrupted()),
            () = &mut over => Err(self.too_long()),
            size = &mut is_read => size.map_err(|_| NotRead.into()),
            error = stream.ended_early() => return Err(error),
            error = &mut broken => Err(error),
            () = self.stalled(spool, life) => {
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
            () = &mut over => Err(self.too_long()),
            error = &mut broken => Err(error),
            accepted = stream.finish(size, &taken, self.stall) => accepted,
        };
        if accepted.is_err() {
            stream.kill().await;
        }
        let accepted = accepted?;
        self.verify_long(&accepted, since).await?;
        Ok(accepted)
    }

    /// Looks once more at what took too long.
    pub async fn verify_long(&self, accepted: &Accepted, since: Instant) -> Result<()> {
        if since.elapsed() >= fault::duration("long_stream").unwrap_or(LONG) {
            fault::reached("verify_stream").await;
            let verify = self.kopia.verify_blobs(&accepted.root, self.stall);
            self.shutdown.cut("the run", verify).await?;
        }
        Ok(())
    }

    /// Resolves when kopia has given no sign of life for too long although something was there for it.
    async fn stalled(&self, spool: &Spool, mut life: Life) {
        let taken = spool.taken();
        silent_for(self.stall, || {
            life.goes_on(taken.total()) || !spool.waits_for_kopia()
        })
        .await;
    }

    fn too_long(&self) -> anyhow::Error {
        too_long(self.task).into()
    }

    pub fn interrupted(&self) -> anyhow::Error {
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

/// Resolves when the time of a source is over, which begins when its reading does.
async fn over(is_begun: oneshot::Receiver<()>, limit: Option<Duration>) {
    if is_begun.await.is_err() {
        return std::future::pending().await;
    }
    timed_out(limit).await;
}

impl Storing {
    /// Its reading begins, and with it its time.
    pub fn begin(&mut self) {
        if let Some(begun) = self.begun.take() {
            let _ = begun.send(());
        }
    }

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
