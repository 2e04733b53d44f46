//! What a check says.

use serde::Serialize;

use crate::error::{Exit, exit_of, hints_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Ok,
    /// A backup works, but it needs attention.
    Warning,
    /// No backup, or no good one, until it is fixed.
    Failure,
}

/// Fields are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Which check it is from.
    pub area: &'static str,
    pub state: State,
    pub message: String,
    /// What to do about it, such as a command.
    pub remedy: Option<String>,
    /// What a command that met it would end with; `None` unless it is a failure.
    pub exit_code: Option<u8>,
    #[serde(skip)]
    exit: Option<Exit>,
}

impl Finding {
    pub fn ok(area: &'static str, message: impl Into<String>) -> Self {
        Self {
            area,
            state: State::Ok,
            message: message.into(),
            remedy: None,
            exit_code: None,
            exit: None,
        }
    }

    pub fn warning(area: &'static str, message: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            ..Self::ok(area, message)
        }
    }

    pub fn failure(area: &'static str, exit: Exit, message: impl Into<String>) -> Self {
        Self {
            state: State::Failure,
            exit_code: Some(exit.code()),
            exit: Some(exit),
            ..Self::ok(area, message)
        }
    }

    /// What kept a check from going on, with the advice that a command would give.
    pub fn of_error(area: &'static str, error: &anyhow::Error) -> Self {
        let hints = hints_of(error);
        let finding = Self::failure(area, exit_of(error), format!("{error:#}"));
        if hints.is_empty() {
            finding
        } else {
            finding.remedy(hints.join("; "))
        }
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What the program ends with: the code of the failure that matters most, 0 without one.
pub fn verdict(findings: &[Finding]) -> u8 {
    /// What has to be fixed first, since the rest may follow from it.
    const ORDER: [Exit; 8] = [
        Exit::StillStopped,
        Exit::Config,
        Exit::Program,
        Exit::Docker,
        Exit::NoRepository,
        Exit::WrongPassword,
        Exit::Storage,
        Exit::UnitsFailed,
    ];
    let rank = |exit: &Exit| {
        let place = ORDER.iter().position(|other| other == exit);
        place.unwrap_or(ORDER.len())
    };
    let failures = findings.iter().filter_map(|finding| finding.exit);
    failures.min_by_key(rank).map_or(0, Exit::code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;

    #[test]
    fn the_failure_that_matters_most_decides() {
        let fails = |exit| Finding::failure("x", exit, "");
        assert_eq!(verdict(&[]), 0);
        assert_eq!(
            verdict(&[Finding::ok("x", ""), Finding::warning("x", "")]),
            0
        );
        let findings = [
            fails(Exit::UnitsFailed),
            fails(Exit::Docker),
            fails(Exit::Config),
        ];
        assert_eq!(verdict(&findings), 16);
        assert_eq!(
            verdict(&[fails(Exit::Config), fails(Exit::StillStopped)]),
            18
        );
        assert_eq!(verdict(&[fails(Exit::Unexpected)]), 1);
    }

    #[test]
    fn an_error_brings_its_causes_and_its_hints() {
        let error = Failure::new(Exit::Storage, "full")
            .hint("free some space")
            .caused_by(anyhow::anyhow!("no space left"));
        let finding = Finding::of_error("repository", &error.into());
        assert_eq!(finding.message, "full: no space left");
        assert_eq!(finding.remedy.as_deref(), Some("free some space"));
        assert_eq!(finding.exit_code, Some(17));
    }
}
