//! A running program.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::ChildStdout;

use super::meter::Meter;
use super::spec::{Input, Output, Spec};
use super::stderr::{Said, Stderr};
use crate::error::Result;

/// Killed with its whole process group when dropped before its end was seen.
pub struct Child {
    inner: tokio::process::Child,
    group: Option<Pid>,
    display: String,
    stderr: Stderr,
}

/// How long a process may take to end after SIGKILL.
const DYING: Duration = Duration::from_secs(10);

/// Killed, and there all the same.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{display}` was killed and has not ended within {seconds} s: it hangs in a disk or server that does not answer, and is left behind"
)]
pub struct Immortal {
    display: String,
    seconds: u64,
}

/// How a child ended and what it said last.
#[derive(Clone, Debug)]
pub struct Ended {
    pub display: String,
    pub status: ExitStatus,
    /// The last lines of stderr, without progress lines.
    pub stderr: String,
}

impl Child {
    /// Must be called on the main thread: the kernel kills the child when the *thread* that spawned it ends.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn(spec: Spec) -> Result<Self> {
        let display = spec.display();
        let niceness = spec.niceness;
        let mut command = tokio::process::Command::new(&spec.program);
        command
            .args(&spec.args)
            .env_clear()
            .envs(spec.env)
            .stdin(match spec.input {
                Input::Null => Stdio::null(),
                Input::Pipe(fd) => Stdio::from(fd),
            })
            .stdout(match spec.output {
                Output::Null => Stdio::null(),
                Output::Captured => Stdio::piped(),
                Output::Pipe(fd) => Stdio::from(fd),
            })
            .stderr(spec.errors.map_or_else(Stdio::piped, Stdio::from))
            .process_group(0)
            .kill_on_drop(true);
        follow_into_death(&mut command, niceness);
        let mut inner = command
            .spawn()
            .with_context(|| format!("`{display}` could not be started"))?;
        // The command holds our copies of the pipe ends; while one lives, there is no end of file.
        drop(command);
        let group = inner.id().and_then(|id| Pid::from_raw(id as i32));
        let stderr = Stderr::drain(inner.stderr.take());
        Ok(Self {
            inner,
            group,
            display,
            stderr,
        })
    }

    /// The captured stdout; `None` when it is not captured or was taken before.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// What it has said so far; resolves to a new value with every line.
    pub fn said(&self) -> tokio::sync::watch::Receiver<Said> {
        self.stderr.said()
    }

    /// Tells how much it has moved so far.
    pub fn meter(&self) -> Meter {
        Meter::of(self.inner.id(), self.stderr.said())
    }

    /// SIGKILL to the whole group, now. [`Child::killed`] tells when it is gone.
    pub fn kill(&self) {
        if let Some(group) = self.group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// SIGKILL, and its end. One that hangs in the kernel, in a disk that does not answer, does not even end then: it is left
    /// behind, which is an error.
    pub async fn killed(&mut self) -> Result<Ended> {
        self.kill();
        match tokio::time::timeout(DYING, self.wait()).await {
            Ok(ended) => ended,
            Err(_) => Err(Immortal {
                display: self.display.clone(),
                seconds: DYING.as_secs(),
            }
            .into()),
        }
    }

    /// Gives a child that has closed its stderr the time to end by itself.
    pub async fn kill_if_running_after(&mut self, patience: Duration) {
        if tokio::time::timeout(patience, self.inner.wait())
            .await
            .is_err()
        {
            self.kill();
        }
    }

    /// Waits for the end. Cancel safe.
    pub async fn wait(&mut self) -> Result<Ended> {
        // Asked again after it was cut off this is known at once, and the words are waited for where it had come to.
        let status =
            self.inner.wait().await.with_context(|| {
                format!("the end of `{}` could not be waited for", self.display)
            })?;
        // Nothing of it may outlive it: a grandchild could hold the pipes open.
        self.kill();
        self.group = None;
        Ok(Ended {
            display: self.display.clone(),
            status,
            stderr: self.stderr.finish().await,
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Ended {
    /// One sentence on how it ended.
    pub fn describe(&self) -> String {
        let how = match (self.status.code(), self.status.signal()) {
            // It is described only where it failed all the same.
            (Some(0), _) => "ended without an error before it had done its work".to_owned(),
            (Some(code), _) => format!("exited with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        format!("`{}` {how}", self.display)
    }
}

/// PR_SET_PDEATHSIG: if we are killed, the child must not see the end of its stdin as the end of the data.
#[expect(unsafe_code, reason = "pre_exec has no safe form")]
pub fn follow_into_death(command: &mut tokio::process::Command, niceness: i32) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe system calls are made, nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // Were we killed before the line above, the signal would never come.
            let is_orphan = rustix::process::getppid()
                .is_none_or(|id| id.as_raw_nonzero().get() as u32 != parent);
            if is_orphan {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            if niceness != 0 {
                let _ = rustix::process::nice(niceness);
            }
            Ok(())
        });
    }
}
