//! The one thing that happens while services are down: `tar` reads a source into its spool.

use std::time::Duration;

use tokio::time::sleep;

use super::spool::Spool;
use crate::base::activity::silent_for;
use crate::base::shutdown::Shutdown;
use crate::drivers::tar::{self, Read};
use crate::drivers::tool::{Child, Immortal, Meter, Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};

/// How long reading may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one source as a whole, its storing included.
    pub task: Option<Duration>,
    /// Without a byte although there is space for one.
    pub stall: Duration,
}

/// Runs `tar` to its end. When this is an error, what is in the spool must not be committed.
pub async fn read(tar: Spec, spool: &Spool, limits: Limits, shutdown: &Shutdown) -> Result<Read> {
    let stdout = pipe()?;
    let mut child = Child::spawn(tar.output(Output::Pipe(stdout.writer)))?;
    let meter = child.meter();
    let filled = spool.fill(stdout.reader)?;
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
