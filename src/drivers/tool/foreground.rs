//! A program that has the terminal: an editor, or one that prompts for a password.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::child::follow_into_death;
use super::spec::Spec;
use crate::base::shutdown::Shutdown;
use crate::error::{Failure, Result};

/// How long it may take to end by itself after a signal, which it gets as we do.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs it to its end, on our terminal and in the environment of our caller: an editor has its settings there.
/// Not in a process group of its own, since only the terminal's may read keys. However it ends, the terminal is as before.
pub async fn foreground(spec: Spec, shutdown: &Shutdown) -> Result<ExitStatus> {
    let before = tcgetattr(std::io::stdin()).ok();
    let ended = run(spec, shutdown).await;
    if let Some(before) = before {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
    ended
}

#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
async fn run(spec: Spec, shutdown: &Shutdown) -> Result<ExitStatus> {
    let display = spec.display();
    let mut command = tokio::process::Command::new(&spec.program);
    command
        .args(&spec.args)
        .envs(spec.env.into_iter().filter(|(name, _)| name != "LC_ALL"))
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    follow_into_death(&mut command, 0);
    let mut child = command
        .spawn()
        .with_context(|| format!("`{display}` could not be started"))?;
    tokio::select! {
        status = child.wait() => {
            status.with_context(|| format!("the end of `{display}` could not be waited for"))
        }
        () = shutdown.asked() => {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
            Err(Failure::new(shutdown.exit(), format!("a signal ended `{display}`")).into())
        }
    }
}
