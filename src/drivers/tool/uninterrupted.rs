//! A program that must come to its own end, such as a package manager: killed in the middle it leaves the host half installed.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;

use super::spec::Spec;
use crate::error::Result;

/// Runs it on our terminal, in our process group and in the environment of our caller: proxies are set there. What it says
/// is conversation, so it goes to stderr. No signal to us ends it; Ctrl-C on the terminal it gets itself, and knows what to do.
#[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
pub async fn uninterrupted(spec: Spec) -> Result<ExitStatus> {
    let display = spec.display();
    let stdin = std::io::stdin();
    let errors = std::io::stderr().as_fd().try_clone_to_owned()?;
    let mut child = tokio::process::Command::new(&spec.program)
        .args(&spec.args)
        .stdin(if stdin.is_terminal() {
            Stdio::inherit()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::from(errors))
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("`{display}` could not be started"))?;
    child
        .wait()
        .await
        .with_context(|| format!("the end of `{display}` could not be waited for"))
}
