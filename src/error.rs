//! What can go wrong, as a user sees it: one message, its causes, what to do, and an exit code.
//!
//! Everything returns [`Result`]; a [`Failure`] in the chain decides the exit code and brings the hints.
//! An error without one is unexpected and ends with exit code 1.

use std::fmt;

pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;

/// The exit codes of the program, documented in README.md. Never renumber one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Unexpected = 1,
    Usage = 2,
    /// Some units failed, or were saved with loss.
    UnitsFailed = 3,
    NothingMatched = 4,
    Declined = 5,
    NoRepository = 10,
    Locked = 11,
    WrongPassword = 12,
    NeedsRoot = 13,
    Docker = 14,
    /// A program is missing, too old, or failed.
    Program = 15,
    Config = 16,
    Storage = 17,
    /// Containers that we stopped are still stopped. Wins over every other code.
    StillStopped = 18,
    Interrupted = 130,
    Terminated = 143,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// An error with an exit code and advice.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    message: String,
    /// Imperative sentences: what the operator can do now.
    pub hints: Vec<String>,
    /// Facts that belong to the error, such as the state of the containers.
    pub notes: Vec<String>,
    /// Kept as it is: boxed once more, a failure in it would no longer be found.
    source: Option<anyhow::Error>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hints: Vec::new(),
            notes: Vec::new(),
            source: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.source = Some(cause.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source: &(dyn std::error::Error + Send + Sync) = self.source.as_deref()?;
        Some(source)
    }
}

/// Every [`Failure`] in the chain of `error`, the outermost first.
fn failures(error: &anyhow::Error) -> impl Iterator<Item = &Failure> {
    error.chain().filter_map(|e| e.downcast_ref::<Failure>())
}

/// The exit code that `error` ends the program with: that of the outermost [`Failure`].
pub fn exit_of(error: &anyhow::Error) -> Exit {
    failures(error)
        .next()
        .map_or(Exit::Unexpected, |failure| failure.exit)
}

/// What the operator can do about `error`.
pub fn hints_of(error: &anyhow::Error) -> Vec<String> {
    failures(error)
        .flat_map(|failure| failure.hints.iter().cloned())
        .collect()
}

/// What a run came to, in a word for programs.
pub fn result(exit_code: u8) -> &'static str {
    match exit_code {
        0 => "success",
        3 => "partial",
        130 | 143 => "interrupted",
        _ => "failed",
    }
}

/// What to do about an exit code that nothing else explains; `None` for success.
pub fn advice(exit_code: u8) -> Option<String> {
    let advice = match exit_code {
        0 => return None,
        3 => "see `kopi-docka history --failed`, fix what it names, then run the command again",
        18 => "see `docker logs` of what is still stopped, fix it, then run `kopi-docka recover`",
        130 | 143 => "a signal ended it; run the command again",
        _ => "see what was said above, and run `kopi-docka check`",
    };
    Some(advice.to_owned())
}

/// The text of `error` for people: message, causes, notes, hints. Ends with a newline.
pub fn render(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  caused by: {}\n", indent(&cause.to_string())));
    }
    for failure in failures(error) {
        for note in &failure.notes {
            text.push_str(&format!("note: {}\n", indent(note)));
        }
        for hint in &failure.hints {
            text.push_str(&format!("hint: {}\n", indent(hint)));
        }
    }
    text
}

fn indent(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_failure_directly_below_another_one_keeps_its_hints() {
        let inner = Failure::new(Exit::Storage, "full").hint("free some space");
        let outer = Failure::new(Exit::UnitsFailed, "failed").caused_by(inner);
        let text = render(&outer.into());
        assert_eq!(
            text,
            "error: failed\n  caused by: full\nhint: free some space\n"
        );
    }

    #[test]
    fn the_outermost_failure_decides_and_every_hint_is_shown() {
        let inner = Failure::new(Exit::Storage, "no space left").hint("free some space");
        let error = Err::<(), _>(inner)
            .context("volume `db` could not be saved")
            .map_err(|e| {
                Failure::new(Exit::UnitsFailed, "unit `web` was not backed up").caused_by(e)
            })
            .map_err(anyhow::Error::from)
            .unwrap_err();
        assert_eq!(exit_of(&error), Exit::UnitsFailed);
        assert_eq!(
            render(&error),
            "error: unit `web` was not backed up\n  caused by: volume `db` could not be saved\n  \
             caused by: no space left\nhint: free some space\n"
        );
    }
}
