//! The one thing that happens while services are down: `tar` reads a source into its spool.

use std::time::Duration;

use anyhow::Context as _;

use tokio::time::sleep;

use super::spool::Spool;
use crate::base::activity::{Activity, silent_for};
use crate::base::shutdown::Shutdown;
use crate::changed::{Kinds, Torn};
use crate::drivers::tar::{self, Member, Read};
use crate::drivers::tool::{Child, Immortal, Meter, Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::points::gated::{self, EndsEarly};

/// How long reading may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one source as a whole, its storing included.
    pub task: Option<Duration>,
    /// Without a byte although there is space for one.
    pub stall: Duration,
}

/// Runs `tar` to its end. When this is an error, what is in the spool must not be committed. With `kinds` the stream has to hold
/// them: an error is [`Torn`] when it does not, since a restore could not lay it over the parts before it.
pub async fn read(
    (tar, kinds): (Spec, Option<Kinds>),
    spool: &Spool,
    limits: Limits,
    shutdown: &Shutdown,
) -> Result<Read> {
    let stdout = pipe()?;
    let mut child = Child::spawn(tar.output(Output::Pipe(stdout.writer)))?;
    let meter = child.meter();
    let mut passed = None;
    let source = match kinds {
        None => stdout.reader,
        Some(mut kinds) => {
            let behind = pipe()?;
            let check = move |member: &Member| kinds.check(member).map(|()| true);
            let pump = gated::pump(stdout.reader, behind.writer, check, Activity::default())?;
            passed = Some(pump);
            behind.reader
        }
    };
    let filled = spool.fill(source)?;
    let given_up = tokio::select! {
        biased;
        () = shutdown.asked() => Some(Failure::new(shutdown.exit(), "a signal ended the reading")),
        () = timed_out(limits.task) => Some(too_long(limits.task)),
        () = stuck(spool, &meter, limits.stall) => Some(
            Failure::new(Exit::Program, format!("tar moved nothing for {} s and was killed", limits.stall.as_secs()))
                .hint("check the disk that the data is on (`dmesg`)"),
        ),
        _ = child.wait() => None,
    };
    if let Some(failure) = given_up {
        // The pipe is ours, and what it held is not committed: the window ends with or without it.
        return Err(match child.killed().await {
            Err(error) if error.is::<Immortal>() => failure.caused_by(error).into(),
            _ => failure.into(),
        });
    }
    // Without tar the filler comes to the end of the pipe.
    let filled = filled.await?;
    let ended = child.wait().await?;
    if let Some(passed) = passed {
        match passed.await.context("a thread ended in a panic")? {
            // A tar that failed has its own words for it.
            Err(error) if error.is::<EndsEarly>() => {
                tar::judge(&ended)?;
                return Err(error);
            }
            // The end of the filler is told below.
            Err(error) if error.is::<Torn>() || error.is::<Failure>() => return Err(error),
            _ => {}
        }
    }
    let bytes = match filled {
        Ok(bytes) => bytes,
        // Tar died of it; its own words would only say so.
        Err(error) => return Err(error),
    };
    let read = tar::judge(&ended)?;
    if read.bytes != bytes {
        anyhow::bail!("tar wrote {} bytes but {bytes} arrived", read.bytes);
    }
    Ok(read)
}

/// For a source whose time is over.
pub fn too_long(limit: Option<Duration>) -> Failure {
    let seconds = limit.unwrap_or_default().as_secs();
    let what = format!(
        "reading and storing it took longer than the {seconds} s that `backup.task_timeout` allows"
    );
    Failure::new(Exit::Program, what)
}

/// Never, without a limit.
pub async fn timed_out(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Resolves when tar has neither read nor written anything for `limit` while the spool had space for it. One that looks for the holes
/// of a large file reads, and says nothing until it has found them.
async fn stuck(spool: &Spool, meter: &Meter, limit: Duration) {
    let filled = spool.filled();
    let mut grows = filled.grows();
    let mut mark = meter.mark();
    silent_for(limit, || {
        // All of them are asked: each remembers what it was.
        let (has_moved, has_grown) = (meter.has_moved_since(&mut mark), grows());
        has_moved || has_grown || !spool.has_room()
    })
    .await;
}
