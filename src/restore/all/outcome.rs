//! How it ended, unit by unit.

use serde::Serialize;

use crate::base::text;
use crate::error::Exit;
use crate::model::{PointId, UnitName};
use crate::restore::apply::report::RestoreReport;

/// Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct UnitOutcome {
    pub unit: UnitName,
    /// `None` where none was found.
    pub backup_id: Option<PointId>,
    pub is_restored: bool,
    pub is_up: bool,
    pub exit_code: u8,
    /// Why it was not restored, or what went wrong afterwards; one sentence each.
    pub errors: Vec<String>,
    #[serde(skip)]
    pub next_steps: Vec<String>,
    #[serde(skip)]
    pub bytes: u64,
    /// There are safety copies.
    #[serde(skip)]
    pub keeps: bool,
}

impl UnitOutcome {
    pub fn restored(report: &RestoreReport) -> Self {
        Self {
            unit: report.unit.clone(),
            backup_id: Some(report.backup_id.clone()),
            is_restored: report.is_restored,
            is_up: report.is_up,
            exit_code: report.exit_code,
            errors: report.errors.clone(),
            next_steps: report.next_steps.clone(),
            bytes: report.sources.iter().map(|source| source.bytes).sum(),
            keeps: report.safety_copies().next().is_some(),
        }
    }

    pub fn failed(unit: UnitName, backup_id: Option<PointId>, exit: Exit, error: String) -> Self {
        Self {
            unit,
            backup_id,
            is_restored: false,
            is_up: false,
            exit_code: exit.code(),
            errors: vec![error],
            next_steps: Vec::new(),
            bytes: 0,
            keeps: false,
        }
    }

    /// One line, and what is left to do.
    pub fn text(&self) -> String {
        let name = &self.unit;
        let mut line = if self.is_restored {
            let point = self
                .backup_id
                .as_ref()
                .map_or_else(String::new, ToString::to_string);
            let up = if self.is_up { ", started" } else { "" };
            format!(
                "`{name}`: restored from {point} ({}){up}",
                text::bytes(self.bytes)
            )
        } else {
            format!("`{name}`: not restored")
        };
        for error in &self.errors {
            line.push_str(&format!("\n    {error}"));
        }
        for step in &self.next_steps {
            line.push_str(&format!("\n    next: {step}"));
        }
        line
    }
}

/// The worst of all: containers that are down, a signal, and else the one that all failures share, or that units failed.
pub fn exit_code(all: &[UnitOutcome]) -> u8 {
    let mut codes: Vec<u8> = all
        .iter()
        .map(|one| one.exit_code)
        .filter(|code| *code != 0)
        .collect();
    codes.sort_unstable();
    codes.dedup();
    let first = [Exit::StillStopped, Exit::Interrupted, Exit::Terminated];
    if let Some(worst) = first.iter().find(|exit| codes.contains(&exit.code())) {
        return worst.code();
    }
    match codes.as_slice() {
        [] => 0,
        [only] => *only,
        _ => Exit::UnitsFailed.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_worst() {
        let code = |exits: &[Exit]| {
            let unit = || UnitName::parse("u").unwrap();
            let all: Vec<UnitOutcome> = exits
                .iter()
                .map(|exit| UnitOutcome::failed(unit(), None, *exit, String::new()))
                .collect();
            exit_code(&all)
        };
        use Exit::{Docker, Interrupted, NothingMatched, StillStopped, UnitsFailed};
        assert_eq!(code(&[]), 0);
        assert_eq!(code(&[NothingMatched, NothingMatched]), 4);
        assert_eq!(code(&[NothingMatched, Docker]), 3);
        assert_eq!(code(&[UnitsFailed, Interrupted]), 130);
        assert_eq!(code(&[Interrupted, StillStopped, Docker]), 18);
    }
}
