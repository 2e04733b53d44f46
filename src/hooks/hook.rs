//! A hook that is ready: what is done, and what it is told.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{HookFailure, HookWhen};
use crate::model::report::{Outcome, UnitReport};
use crate::model::{Grade, PointId, UnitName};

/// One hook of one unit, or of the run, with all that is needed to do it: also after a kill, whatever the configuration says by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    pub when: HookWhen,
    pub unit: Option<UnitName>,
    pub action: Action,
    pub timeout_seconds: u64,
    pub on_failure: HookFailure,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Run {
        command: Vec<String>,
    },
    Exec {
        /// Of the container.
        id: String,
        name: String,
        command: Vec<String>,
        user: Option<String>,
    },
    /// There is none: why.
    Missing {
        what: String,
        why: String,
    },
}

impl Ready {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    pub fn is_in_container(&self) -> bool {
        matches!(self.action, Action::Exec { .. })
    }

    pub fn fails(&self) -> bool {
        self.on_failure == HookFailure::Fail
    }

    /// `php occ in container shop-app-1`
    pub fn display(&self) -> String {
        match &self.action {
            Action::Run { command } => shell_words::join(command),
            Action::Exec { name, command, .. } => {
                format!("{} in container {name}", shell_words::join(command))
            }
            Action::Missing { what, .. } => what.clone(),
        }
    }
}

/// What a hook finds in its environment, beside its name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    pub backup_id: Option<PointId>,
    /// `ok`, `failed` or `skipped`.
    pub outcome: Option<String>,
    pub grade: Option<Grade>,
    pub downtime_seconds: Option<f64>,
    pub report: Option<PathBuf>,
}

impl Told {
    pub fn of_run(backup_id: impl Into<PointId>) -> Self {
        Self {
            backup_id: Some(backup_id.into()),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn and_of(mut self, report: &UnitReport) -> Self {
        let outcome = match report.outcome {
            Outcome::Saved => "ok",
            Outcome::Skipped => "skipped",
            Outcome::SavedWithLoss | Outcome::Failed => "failed",
        };
        self.outcome = Some(outcome.to_owned());
        self.grade = report.grade;
        self.downtime_seconds = Some(report.downtime_seconds);
        self
    }

    #[must_use]
    pub fn and_exit_code(mut self, code: u8) -> Self {
        self.outcome = Some(if code == 0 { "ok" } else { "failed" }.to_owned());
        self
    }

    /// Names and values. There is never a secret among them.
    pub fn variables(&self, hook: &Ready) -> Vec<(&'static str, String)> {
        let unit = hook.unit.as_ref().map(ToString::to_string);
        let downtime = self.downtime_seconds.map(|seconds| format!("{seconds:.1}"));
        let report = self.report.as_ref().map(|path| path.display().to_string());
        let all = [
            ("KOPI_DOCKA_HOOK", Some(word(&hook.when))),
            ("KOPI_DOCKA_UNIT", unit),
            (
                "KOPI_DOCKA_BACKUP_ID",
                self.backup_id.as_ref().map(ToString::to_string),
            ),
            ("KOPI_DOCKA_OUTCOME", self.outcome.clone()),
            ("KOPI_DOCKA_GRADE", self.grade.as_ref().map(word)),
            ("KOPI_DOCKA_DOWNTIME", downtime),
            ("KOPI_DOCKA_REPORT", report),
        ];
        let all = all.into_iter();
        all.filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// As it stands in a report.
pub fn word(of: &impl Serialize) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
