//! `systemctl`, with a limit: a manager that hangs does not block.

use std::path::Path;
use std::time::Duration;

use crate::drivers::tool::{self, Finished, Spec};
use crate::error::Result;

/// How long it may take to do something, such as to start a timer.
const DEADLINE: Duration = Duration::from_secs(90);

/// The same for a question.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether systemd runs this host.
pub fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Lets it do something; an error when it does not.
pub async fn systemctl(args: &[&str]) -> Result<()> {
    let done = run(args, DEADLINE).await?;
    if !done.ended.status.success() {
        anyhow::bail!("{}: {}", done.ended.describe(), done.ended.stderr);
    }
    Ok(())
}

/// What it answers, whatever its status is: `is-active` says `inactive` with 3. `None` when it says nothing, or is not here.
pub async fn asked(args: &[&str]) -> Option<String> {
    let finished = run(args, PATIENCE).await.ok()?;
    let answer = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    (!answer.is_empty()).then_some(answer)
}

async fn run(args: &[&str], limit: Duration) -> Result<Finished> {
    let program = tool::find("systemctl", "install systemd")?;
    tool::run(Spec::new(&program).args(args), limit).await
}
