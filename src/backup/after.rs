//! What a run does when its last unit is up again: retention, and maintenance when it is due. That they fail costs no data, so it
//! is a warning. And a recovery bundle; that it fails is an error, since it is needed when nothing else is left.

use super::memory::Recalled;
use super::run::Run;
use crate::bundle;
use crate::config::Loaded;
use crate::context::Context;
use crate::error::{Result, hints_of};
use crate::model::report::{BundleReport, MaintenanceReport, Outcome, RetentionReport, UnitReport};
use crate::retention::maintenance;
use crate::retention::{self, Outlook, Scope};

/// The result.
#[derive(Default)]
pub struct After {
    pub retention: Option<RetentionReport>,
    pub maintenance: Option<MaintenanceReport>,
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
    if scope.units.as_ref().is_some_and(Vec::is_empty) {
        return after;
    }
    tokio::select! {
        biased;
        () = run.shutdown.asked() => {}
        () = tidy(run, &scope, &mut after) => {}
    }
    after
}

async fn tidy(run: &Run<'_>, scope: &Scope, after: &mut After) {
    let kopia = &run.store.kopia;
    run.reporter.headline("removing old restore points");
    // To ask is the start of a process, and needs nothing of the other.
    let (outlook, info) = tokio::join!(
        retention::apply(kopia, run.config, scope),
        kopia.maintenance()
    );
    let outlook = match outlook {
        Ok(outlook) => {
            after
                .warnings
                .extend(outlook.report.warnings.iter().cloned());
            // Where another machine saves under our name it was not looked at what is ours.
            if outlook.conflict.is_none()
                && let Err(error) = forget(run, scope, &outlook)
            {
                after.warnings.push(warning("the state directory", &error));
            }
            after.retention = Some(outlook.report.clone());
            outlook
        }
        Err(error) => {
            after.warnings.push(warning(
                "old restore points could not be removed, the next run tries again",
                &error,
            ));
            return;
        }
    };
    run.reporter.headline("maintenance of the repository");
    match maintenance::when_due(kopia, run.config, run.paths, &outlook, info).await {
        Ok(done) => {
            after.maintenance = done.report;
            after.warnings.extend(done.warning);
        }
        Err(error) => after.warnings.push(warning(
            "the maintenance of the repository failed, the next run tries again",
            &error,
        )),
    }
}

/// A recovery bundle that tells of what was just stored, once for all units. `None` where nothing was, and after a signal.
pub async fn renew_bundle(
    cx: &Context,
    run: &Run<'_>,
    loaded: &Loaded,
    reports: &[UnitReport],
) -> Option<BundleReport> {
    let is_stored =
        |report: &UnitReport| matches!(report.outcome, Outcome::Saved | Outcome::SavedWithLoss);
    if !reports.iter().any(is_stored) {
        return None;
    }
    run.reporter.headline("recovery bundle");
    tokio::select! {
        biased;
        () = run.shutdown.asked() => None,
        made = bundle::renew(cx, loaded) => Some(made),
    }
}

/// What no point holds any more need not be remembered.
fn forget(run: &Run<'_>, scope: &Scope, outlook: &Outlook) -> Result<()> {
    let (paths, profile) = (run.paths, run.config.profile());
    for unit in scope.units.iter().flatten() {
        Recalled::forget_former(paths, profile, unit, outlook.held.get(unit))?;
    }
    // A unit without a point may be in trouble, which is remembered too.
    let kept = outlook.units.iter().chain(&run.present);
    Recalled::forget_all_but(paths, profile, kept)
}

/// In one line, with what can be done about it.
fn warning(what: &str, error: &anyhow::Error) -> String {
    let mut text = format!("{what}: {error:#}");
    for hint in hints_of(error) {
        text.push_str(&format!(" ({hint})"));
    }
    text
}
