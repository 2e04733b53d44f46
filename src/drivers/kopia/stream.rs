//! A snapshot from stdin. Kopia commits at the end of its input, whatever the reason for it: the holder of the
//! sink decides, and kills kopia before closing it when the data is not whole.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::client::Kopia;
use super::failure;
use super::snapshot::{Accepted, NewSnapshot, accept};
use super::watch::{self, Life};
use crate::base::activity::Activity;
use crate::drivers::tool::{Child, Input, Output, pipe};
use crate::error::{Exit, Failure, Result};

/// The name of the stream inside the snapshot. Without an extension: no rule of Kopia's skips it, and
/// restoring it to a file does not turn it into something else.
pub const STREAM_FILE: &str = "data";

/// While services are down they come first; the window is over before kopia is.
const NICENESS: i32 = 10;

/// A kopia that has opened its repository and waits for its input. Killed when dropped.
pub struct Stream {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
}

impl Stream {
    /// Starts kopia and waits until it is ready to read, so that a repository that refuses us refuses before anything
    /// stops. It may take as long as it gives a sign of life: the index of a large repository behind a slow line is long on its way.
    /// The returned sink is the only write end of its stdin.
    pub async fn open(
        kopia: &Kopia,
        new: &NewSnapshot,
        stall_timeout: Duration,
    ) -> Result<(Self, OwnedFd)> {
        let stdin = pipe()?;
        let spec = kopia
            .command()
            .args(["snapshot", "create", &new.path])
            .arg(format!("--stdin-file={STREAM_FILE}"));
        let spec = new
            .flags(spec, &kopia.identity())
            .input(Input::Pipe(stdin.reader))
            .output(Output::Captured)
            .niceness(NICENESS);
        let mut child = Child::spawn(spec)?;
        let stdout = watch::collect(child.take_stdout());
        let mut said = child.said();
        let ready = said.wait_for(|said| {
            said.is_closed || said.has_line(|line| line.starts_with("Snapshotting "))
        });
        let is_ready = tokio::select! {
            biased;
            said = ready => {
                said.is_ok_and(|said| said.has_line(|line| line.starts_with("Snapshotting ")))
            }
            () = watch::silence(Life::of(&child), stall_timeout) => {
                return Err(Failure::new(
                    Exit::Storage,
                    format!(
                        "kopia opens the repository and gave no sign of life for {} s",
                        stall_timeout.as_secs()
                    ),
                )
                .hint("check that the storage answers: `kopi-docka repo-status`")
                .into());
            }
        };
        if !is_ready {
            child.kill_if_running_after(Duration::from_secs(5)).await;
            return Err(failure::of(&child.killed().await?));
        }
        Ok((Self { child, stdout }, stdin.writer))
    }

    pub fn life(&self) -> Life {
        Life::of(&self.child)
    }

    /// Waits for the commit and accepts it. The sink must have been closed or be about to be, after `size` bytes.
    /// `activity` counts what kopia takes.
    pub async fn finish(
        &mut self,
        size: u64,
        activity: &Activity,
        stall_timeout: Duration,
    ) -> Result<Accepted> {
        let ended = watch::until_end(&mut self.child, activity, stall_timeout).await?;
        let stdout = watch::collected(&mut self.stdout).await?;
        accept(&ended, &stdout, Some(size))
    }

    /// Waits for an unexpected end, such as a full repository. Cancel safe.
    pub async fn ended_early(&mut self) -> anyhow::Error {
        let ended = match self.child.wait().await {
            Ok(ended) => ended,
            Err(error) => return error,
        };
        // One that was cancelled ends well; only its answer tells.
        let judged = match watch::collected(&mut self.stdout).await {
            Ok(stdout) => accept(&ended, &stdout, None).err(),
            Err(error) => Some(error),
        };
        judged.unwrap_or_else(|| failure::of(&ended))
    }

    /// Kills one that has taken nothing for `seconds`; what it has said until then may tell why.
    pub async fn give_up(&mut self, seconds: u64) -> anyhow::Error {
        let what = format!("kopia took nothing for {seconds} s and was killed");
        watch::given_up(&mut self.child, what).await
    }

    /// SIGKILL, and gone when this returns: closing the sink afterwards commits nothing. One that hangs in the kernel is dead all the
    /// same: it comes to no end of its input any more.
    pub async fn kill(&mut self) {
        let _ = self.child.killed().await;
    }
}
