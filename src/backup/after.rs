//! What a run does when its last unit is up again: retention. That it fails costs no data, so it is a warning.

use super::run::Run;
use crate::error::hints_of;
use crate::model::report::{Outcome, RetentionReport, UnitReport};
use crate::retention::{self, Scope};

/// What came of it.
#[derive(Default)]
pub struct After {
    pub retention: Option<RetentionReport>,
    pub warnings: Vec<String>,
}

/// Only for the units that were saved whole: where no new point is, no old one may go. Nothing after a signal.
pub async fn tidy_up(run: &Run<'_>, reports: &[UnitReport]) -> After {
    let saved = reports
        .iter()
        .filter(|report| report.outcome == Outcome::Saved)
        .map(|report| report.unit.clone());
    let scope = Scope {
        units: Some(saved.collect()),
        under_way: Some(run.backup_id.into()),
    };
    let mut after = After::default();
    if scope.units.as_ref().is_none_or(Vec::is_empty) || run.shutdown.is_asked() {
        return after;
    }
    run.reporter.headline("removing old restore points");
    let applied = tokio::select! {
        biased;
        () = run.shutdown.asked() => return after,
        applied = retention::apply(&run.store.kopia, run.config, &scope) => applied,
    };
    match applied {
        Ok(outlook) => {
            after
                .warnings
                .extend(outlook.report.warnings.iter().cloned());
            after.retention = Some(outlook.report);
        }
        Err(error) => after.warnings.push(warning(
            "old restore points could not be removed, the next run tries again",
            &error,
        )),
    }
    after
}

/// In one line: what can be done about it is no error's.
fn warning(what: &str, error: &anyhow::Error) -> String {
    let mut text = format!("{what}: {error:#}");
    for hint in hints_of(error) {
        text.push_str(&format!(" ({hint})"));
    }
    text
}
