//! Questions to the operator. Never asked without a terminal; whatever ends one leaves the terminal as it was.

use std::io::{ErrorKind, IsTerminal as _};
use std::time::Duration;

use anyhow::Context as _;
use dialoguer::{Confirm, Input, MultiSelect, Password, Select};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::printer::{self, Keep, Patience};
use super::stream::Stream;
use crate::base::secret::Secret;
use crate::base::shutdown::Shutdown;
use crate::error::{self, Exit, Failure, Result};

const ENDED: &str = "a signal ended the question: nothing was changed";

/// How long a question stands: the caller may hold the lock, and the nightly backup must not wait for an operator who
/// went home.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

const SHOW_CURSOR: &[u8] = b"\x1b[?25h";

/// Rows of a list that are shown at once.
const ROWS: usize = 15;

/// Whether there is a terminal to prompt on.
pub fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Whether an operator sees what is said, or could end it with a key: of a timer or of cron no stream is a terminal.
pub fn is_at_terminal() -> bool {
    std::io::stdin().is_terminal()
        || std::io::stdout().is_terminal()
        || std::io::stderr().is_terminal()
}

/// Whether `error` is a question that was cancelled: then nothing more is to be asked.
pub fn is_end(error: &anyhow::Error) -> bool {
    matches!(
        error::exit_of(error),
        Exit::Declined | Exit::Interrupted | Exit::Terminated
    )
}

/// A yes, without a default. `flag` is what answers it beforehand.
pub async fn confirm(question: &str, flag: &str, shutdown: &Shutdown) -> Result<()> {
    if !is_possible() {
        return Err(Failure::new(
            Exit::Usage,
            "this needs a confirmation, and cannot prompt: not running on a terminal",
        )
        .hint(format!(
            "use `{flag}` to proceed, or `--dry-run` to see the plan"
        ))
        .into());
    }
    if is_wanted(question, shutdown).await? {
        return Ok(());
    }
    Err(Failure::new(Exit::Declined, "declined: nothing was changed").into())
}

/// A yes or no, without a default.
pub async fn is_wanted(question: &str, shutdown: &Shutdown) -> Result<bool> {
    let question = question.to_owned();
    answer(shutdown, move || {
        Confirm::new().with_prompt(question).interact_opt()
    })
    .await
}

/// The index of the one that was chosen.
pub async fn select(question: &str, items: Vec<String>, shutdown: &Shutdown) -> Result<usize> {
    let question = question.to_owned();
    answer(shutdown, move || {
        Select::new()
            .with_prompt(question)
            .items(items)
            .default(0)
            .max_length(ROWS)
            .interact_opt()
    })
    .await
}

/// The indexes of those that were chosen, at least one.
pub async fn select_some(
    question: &str,
    items: Vec<String>,
    shutdown: &Shutdown,
) -> Result<Vec<usize>> {
    let question = format!("{question} (space selects, enter confirms)");
    answer(shutdown, move || {
        loop {
            let chosen = MultiSelect::new()
                .with_prompt(&question)
                .items(&items)
                .max_length(ROWS)
                .interact_opt()?;
            if chosen.as_ref().is_none_or(|chosen| !chosen.is_empty()) {
                return Ok(chosen);
            }
        }
    })
    .await
}

/// A line of text that `check` has no objection to.
pub async fn text(
    question: &str,
    check: impl Fn(&str) -> Result<(), String> + Send + 'static,
    shutdown: &Shutdown,
) -> Result<String> {
    let question = question.to_owned();
    answer(shutdown, move || {
        Input::<String>::new()
            .with_prompt(question)
            .validate_with(|text: &String| check(text.trim()))
            .interact_text()
            .map(|text| Some(text.trim().to_owned()))
    })
    .await
}

/// [`text`] with a default answer, shown in brackets. An empty one allows no answer at all.
pub async fn text_or(
    question: &str,
    default: &str,
    check: impl Fn(&str) -> Result<(), String> + Send + 'static,
    shutdown: &Shutdown,
) -> Result<String> {
    let (question, default) = (question.to_owned(), default.to_owned());
    answer(shutdown, move || {
        let is_optional = default.is_empty();
        Input::<String>::new()
            .with_prompt(question)
            .default(default)
            .show_default(!is_optional)
            .validate_with(|text: &String| check(text.trim()))
            .interact_text()
            .map(|text| Some(text.trim().to_owned()))
    })
    .await
}

/// A yes or no with a default.
pub async fn is_wanted_or(question: &str, default: bool, shutdown: &Shutdown) -> Result<bool> {
    let question = question.to_owned();
    answer(shutdown, move || {
        Confirm::new()
            .with_prompt(question)
            .default(default)
            .interact_opt()
    })
    .await
}

/// An existing secret, typed or pasted once and never shown.
pub async fn known_secret(
    question: &str,
    check: impl Fn(&str) -> Result<(), String> + Send + 'static,
    shutdown: &Shutdown,
) -> Result<Secret> {
    let question = question.to_owned();
    let typed = answer(shutdown, move || {
        Password::new()
            .with_prompt(question)
            .validate_with(|text: &String| check(text))
            .interact()
            .map(Some)
    });
    Ok(Secret::new(typed.await?))
}

/// A secret that `check` has no objection to, typed twice and never shown.
pub async fn secret(
    question: &str,
    again: &str,
    check: impl Fn(&str) -> Result<(), String> + Send + 'static,
    shutdown: &Shutdown,
) -> Result<String> {
    let (question, again) = (question.to_owned(), again.to_owned());
    answer(shutdown, move || {
        Password::new()
            .with_prompt(question)
            .with_confirmation(again, "these are not the same")
            .validate_with(|text: &String| check(text))
            .interact()
            .map(Some)
    })
    .await
}

/// Asks on a thread of its own: waiting for a key must not keep the program from ending.
async fn answer<T: Send + 'static>(
    shutdown: &Shutdown,
    ask: impl FnOnce() -> dialoguer::Result<Option<T>> + Send + 'static,
) -> Result<T> {
    // What was said so far is what the question is about.
    tokio::select! {
        biased;
        () = shutdown.asked() => return Err(Failure::new(shutdown.exit(), ENDED).into()),
        () = printer::flushed(Patience::AtMost(PATIENCE)) => {}
    }
    let terminal = Terminal::remember();
    let (sender, answer) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("prompt".to_owned())
        .spawn(move || {
            let _ = sender.send(ask());
        })
        .context("no thread can be started")?;
    let answer = tokio::select! {
        biased;
        () = shutdown.asked() => None,
        answer = answer => Some(answer.context("the question was not answered")?),
        () = tokio::time::sleep(PATIENCE) => {
            drop(terminal);
            let minutes = PATIENCE.as_secs() / 60;
            let why = format!("no answer for {minutes} minutes: nothing was changed");
            return Err(Failure::new(Exit::Declined, why).into());
        }
    };
    if let Some(Ok(Some(answer))) = answer {
        return Ok(answer);
    }
    drop(terminal);
    match answer {
        Some(Ok(_)) => Err(Failure::new(Exit::Declined, "cancelled: nothing was changed").into()),
        Some(Err(dialoguer::Error::IO(error))) if error.kind() != ErrorKind::Interrupted => {
            Err(anyhow::Error::from(error).context("the question could not be asked"))
        }
        // Ctrl-C comes as a key, and as a signal a moment later.
        Some(Err(_)) => Err(Failure::new(Exit::Interrupted, ENDED).into()),
        None => Err(Failure::new(shutdown.exit(), ENDED).into()),
    }
}

/// The terminal as it was before a question: while one stands, keys are not echoed and the cursor is hidden.
struct Terminal(Option<Termios>);

impl Terminal {
    fn remember() -> Self {
        Self(tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if dialoguer::console::Term::stderr().is_term() {
            super::printer::print(Stream::Error, Keep::Always, SHOW_CURSOR.to_vec());
        }
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}
