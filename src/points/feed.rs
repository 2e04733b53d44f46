//! Brings one part of a source from the repository into a tar: kopia's stdout, through us, into tar's stdin.
//!
//! It went well only if kopia and tar both exited with 0 and every byte that the recipe promises went through. The end of
//! the stream alone proves nothing: a kopia that dies ends it too.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use super::ahead::{Ahead, Opened};
use super::gate::Gate;
use super::gated::{self, EndsEarly};
use super::legacy;
use super::pump::pump;
use crate::base::activity::{Activity, silent_for};
use crate::base::shutdown::Shutdown;
use crate::drivers::kopia::Kopia;
use crate::drivers::tool::{Child, Ended, Input, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::model::point::{Part, PartKind};

/// What every feed gets.
#[derive(Clone)]
pub struct Feed {
    pub kopia: Kopia,
    /// Without a byte that moves.
    pub stall: Duration,
    pub shutdown: Shutdown,
    /// Turns true when another one has failed, and with it the whole.
    pub is_cancelled: watch::Receiver<bool>,
    /// Streams that were begun before.
    pub ahead: Arc<Ahead>,
    /// What a signal ends, in an error.
    pub what: &'static str,
}

/// Why a feed ended early: another one has failed, and its error tells more.
#[derive(Debug, thiserror::Error)]
#[error("another source failed")]
pub struct Cancelled;

impl Feed {
    /// Feeds `part` to `tar` and returns how tar ended: with 0, but it may have had something to say.
    /// `gate` is asked about each member.
    pub async fn run(
        &self,
        part: &Part,
        gate: Option<&Gate>,
        tar: Spec,
        moved: &Activity,
    ) -> Result<Ended> {
        let (pumped, shown, fed) = self.fed(part, gate, tar, moved).await?;
        judge(part, pumped, &shown, &fed)?;
        Ok(fed)
    }

    /// As [`Self::run`], for a tar that read it all, however it ended.
    pub async fn run_to_the_end(
        &self,
        part: &Part,
        gate: Option<&Gate>,
        tar: Spec,
        moved: &Activity,
    ) -> Result<Ended> {
        let (pumped, shown, fed) = self.fed(part, gate, tar, moved).await?;
        if pumped.is_ok() {
            let good = Ended {
                status: ExitStatus::default(),
                ..fed.clone()
            };
            judge(part, pumped, &shown, &good)?;
            return Ok(fed);
        }
        judge(part, pumped, &shown, &fed)?;
        Ok(fed)
    }

    async fn fed(
        &self,
        part: &Part,
        gate: Option<&Gate>,
        tar: Spec,
        moved: &Activity,
    ) -> Result<(Result<u64>, Ended, Ended)> {
        let only = match part.kind {
            PartKind::OnlyFile => Some(legacy::only_file(&self.kopia, part).await?),
            _ => None,
        };
        let archive = pipe()?;
        let mut tar = Child::spawn(tar.input(Input::Pipe(archive.reader)))?;
        let Opened { mut kopia, stream } = match (&only, self.ahead.take(part)) {
            (Some(object), _) => Opened::of_object(&self.kopia, object)?,
            (None, Some(opened)) => opened,
            (None, None) => Opened::of_file(&self.kopia, &part.root, &part.file)?,
        };
        let (sink, counted) = (archive.writer, moved.clone());
        let pumped = match gate {
            Some(gate) => {
                let gate = gate.clone();
                gated::pump(stream, sink, move |it| gate.lets_through(it), counted)?
            }
            None => pump(stream, sink, counted)?,
        };
        let work = async {
            let pumped = pumped.await.context("the pump ended in a panic")?;
            let (kopia, tar) = tokio::join!(kopia.wait(), tar.wait());
            Ok::<_, anyhow::Error>((pumped, kopia?, tar?))
        };
        let ended = self.guarded(moved, work).await;
        if ended.is_err() {
            // Nothing may write there any more when it is removed.
            let _ = tokio::join!(tar.killed(), kopia.killed());
        }
        ended
    }

    /// Drops `work` at a signal, when another one has failed, and when `alive` does not change for too long.
    pub async fn guarded<T>(
        &self,
        alive: &Activity,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            () = self.shutdown.asked() => Err(self.interrupted()),
            () = self.cancelled() => Err(Cancelled.into()),
            () = silent_for(self.stall, alive.grows()) => Err(self.stalled()),
            done = work => done,
        }
    }

    pub fn interrupted(&self) -> anyhow::Error {
        let what = format!("a signal ended the {}", self.what);
        Failure::new(self.shutdown.exit(), what).into()
    }

    async fn cancelled(&self) {
        let mut is_cancelled = self.is_cancelled.clone();
        if is_cancelled.wait_for(|it_is| *it_is).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn stalled(&self) -> anyhow::Error {
        Failure::new(
            Exit::Storage,
            format!("no byte came for {} s", self.stall.as_secs()),
        )
        .hint("check that the storage answers (`kopi-docka repo-status`) and the disk (`dmesg`); `backup.stall_timeout` says how long to wait")
        .into()
    }
}

pub fn judge(part: &Part, pumped: Result<u64>, kopia: &Ended, tar: &Ended) -> Result<()> {
    match pumped {
        // What tar and kopia say then is that we went away.
        Err(error) if error.is::<Failure>() => Err(error),
        Err(error) if error.is::<EndsEarly>() && kopia.status.success() => Err(error),
        Err(error) if error.is::<EndsEarly>() => Err(Kopia::failure(kopia)),
        // Kopia then dies of it as well; only tar knows why.
        Err(error) => Err(said(tar).context(error)),
        Ok(_) if !kopia.status.success() => Err(Kopia::failure(kopia)),
        Ok(bytes) if bytes != part.bytes => Err(Failure::new(
            Exit::UnitsFailed,
            format!(
                "the repository gave {bytes} bytes instead of {}",
                part.bytes
            ),
        )
        .hint("the snapshot is damaged: take another restore point")
        .into()),
        Ok(_) if !tar.status.success() => Err(said(tar)),
        Ok(_) => Ok(()),
    }
}

/// What a tar that ended badly has to say.
pub fn said(tar: &Ended) -> anyhow::Error {
    anyhow::anyhow!("tar said: {}", tar.stderr).context(tar.describe())
}
