//! Questions to the operator. Never asked where nobody can answer.

use std::io::{ErrorKind, IsTerminal as _};

use anyhow::Context as _;

use crate::error::{Exit, Failure, Result};
use crate::shutdown::Shutdown;

const ENDED: &str = "a signal ended the question: nothing was touched";

/// A yes or no, without a default. `flag` is what answers it beforehand.
pub async fn confirm(question: &str, flag: &str, shutdown: &Shutdown) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "this needs a confirmation, and there is no terminal to ask on",
        )
        .hint(format!(
            "say `{flag}` to go ahead, or `--dry-run` to look first"
        ))
        .into());
    }
    let question = question.to_owned();
    let (sender, answer) = tokio::sync::oneshot::channel();
    // A thread of its own: one that waits for a key must keep nobody from ending the program.
    std::thread::Builder::new()
        .name("prompt".to_owned())
        .spawn(move || {
            let answer = dialoguer::Confirm::new().with_prompt(question).interact();
            let _ = sender.send(answer);
        })
        .context("no thread can be started")?;
    let answer = tokio::select! {
        biased;
        () = shutdown.asked() => None,
        answer = answer => Some(answer.context("the question was not answered")?),
    };
    match answer {
        Some(Ok(true)) => return Ok(()),
        Some(Ok(false)) => {
            return Err(Failure::new(Exit::Declined, "declined: nothing was touched").into());
        }
        _ => {}
    }
    // It is hidden while the question stands.
    let _ = dialoguer::console::Term::stderr().show_cursor();
    match answer {
        Some(Err(dialoguer::Error::IO(error))) if error.kind() != ErrorKind::Interrupted => {
            Err(anyhow::Error::from(error).context("the question could not be asked"))
        }
        // Ctrl-C comes as a key, and as a signal a moment later.
        Some(_) => Err(Failure::new(Exit::Interrupted, ENDED).into()),
        None => Err(Failure::new(shutdown.exit(), ENDED).into()),
    }
}
