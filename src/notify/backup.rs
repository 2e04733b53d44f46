//! What a backup tells: its result, and what is wrong by its report and those before.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::cause::{Cause, Problem, What};
use super::run::Ended;
use super::storage;
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::error::{self, Result, exit_of, hints_of};
use crate::model::UnitName;
use crate::model::grade::Grade;
use crate::model::report::{Outcome, RunReport, UnitReport};
use crate::reports::past::{self, Reports};

/// So many runs in a row are enough.
const IN_A_ROW: usize = 3;
/// How many reports are looked through for those of a unit.
const LOOKED_AT: usize = 50;

/// `asked` is what the run was about, all units where it is empty. With `will_be_made_up` its failure is no problem yet. Reads earlier reports, and looks
/// at the storage of the repository.
pub async fn of_backup<'a>(
    cx: &Context,
    config: &Config,
    asked: &[UnitName],
    ran: &'a Result<RunReport>,
    started_at: DateTime<Utc>,
    will_be_made_up: bool,
) -> Ended<'a> {
    let is_of_all = asked.is_empty();
    match ran {
        Ok(report) => {
            let storage = storage::look(cx, config).await;
            let is_storage_known = storage.is_some();
            let mut found = found(config, report);
            found.extend(storage.flatten());
            Ended {
                exit_code: report.exit_code,
                text: summary(report),
                units: report
                    .units
                    .iter()
                    .map(|unit| (unit.unit.clone(), unit.is_good()))
                    .collect(),
                found,
                settles: Box::new(move |cause| match cause.what {
                    What::StorageNearlyFull => is_storage_known,
                    _ => settles(cause, report, is_of_all),
                }),
                report: serde_json::to_value(report).unwrap_or_default(),
            }
        }
        Err(failed) => {
            let exit_code = exit_of(failed).code();
            let hint = hints_of(failed).into_iter().next();
            let hint = hint.map_or_else(String::new, |hint| format!(" ({hint})"));
            let text = format!(
                "the backup of {} did not come to its end: {failed:#}{hint}",
                text::minute(started_at)
            );
            let problem = Problem::new(Cause::of_host(What::Backup), text.clone());
            Ended {
                exit_code,
                text,
                units: Vec::new(),
                found: if will_be_made_up {
                    Vec::new()
                } else {
                    vec![problem]
                },
                settles: Box::new(|_| false),
                report: Value::Null,
            }
        }
    }
}

fn summary(report: &RunReport) -> String {
    let good = report.units.iter().filter(|unit| unit.is_good()).count();
    let took = report.finished_at - report.started_at;
    let mut lines = vec![format!(
        "backup of {}: {} (exit code {}), {good} of {} saved well in {}",
        text::minute(report.started_at),
        error::result(report.exit_code),
        report.exit_code,
        text::count(report.units.len(), "unit"),
        text::seconds(took.num_milliseconds() as f64 / 1000.0)
    )];
    for unit in &report.units {
        let down = if unit.downtime_seconds > 0.0 {
            format!(", down for {}", text::seconds(unit.downtime_seconds))
        } else {
            String::new()
        };
        let why = unit.errors.first().map(|error| format!(": {error}"));
        let (outcome, why) = (unit.outcome.as_str(), why.unwrap_or_default());
        lines.push(format!("unit `{}`: {outcome}{down}{why}", unit.unit));
    }
    lines.join("\n")
}

fn found(config: &Config, report: &RunReport) -> Vec<Problem> {
    let mut found = Vec::new();
    if let Some(why) = &report.interrupted {
        let text = format!(
            "the backup of {} did not come to its end: {why}",
            text::minute(report.started_at)
        );
        found.push(Problem::new(Cause::of_host(What::Backup), text));
    }
    for error in report
        .recovery_bundle
        .iter()
        .flat_map(|bundle| &bundle.errors)
        .take(1)
    {
        let text = format!("recovery bundle: {error}");
        found.push(Problem::new(Cause::of_host(What::Bundle), text));
    }
    let before = before(config, report);
    for unit in &report.units {
        of_unit(config, unit, &before, &mut found);
    }
    found
}

fn of_unit(config: &Config, unit: &UnitReport, before: &[RunReport], found: &mut Vec<Problem>) {
    let name = &unit.unit;
    let why = unit.losses.first().or(unit.errors.first());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let mut add =
        |what: What, text: String| found.push(Problem::new(Cause::of_unit(what, name), text));
    match unit.outcome {
        Outcome::SavedWithLoss => {
            add(What::Loss, format!("unit `{name}` was saved in part{why}"));
            if !config.unit(name.as_str()).retention.keeps_everything() {
                add(
                    What::RetentionSuspended,
                    format!(
                        "no restore point of unit `{name}` is removed until it is saved whole, or you agree to the loss: `kopi-docka backup --accept-loss {name}`"
                    ),
                );
            }
        }
        Outcome::Failed => add(What::Unit, format!("unit `{name}` was not saved{why}")),
        Outcome::Saved if !unit.is_good() => add(
            What::Unit,
            format!("unit `{name}` was saved, but not well{why}"),
        ),
        Outcome::Skipped if !unit.errors.is_empty() => {
            if in_a_row(unit, before, |of| {
                of.outcome == Outcome::Skipped && !of.errors.is_empty()
            }) {
                add(
                    What::LeftUp,
                    format!(
                        "unit `{name}` was left up and not saved {IN_A_ROW} times in a row{why}"
                    ),
                );
            }
        }
        Outcome::Saved | Outcome::Skipped => {}
    }
    if in_a_row(unit, before, |of| of.grade == Some(Grade::Hot)) {
        add(
            What::Hot,
            format!(
                "unit `{name}` was graded `hot` {IN_A_ROW} times in a row: something may have written while it was read"
            ),
        );
    }
}

/// Whether it is so of `unit`, and was in the runs before that tried it.
fn in_a_row(unit: &UnitReport, before: &[RunReport], is_so: impl Fn(&UnitReport) -> bool) -> bool {
    let earlier = before
        .iter()
        .flat_map(|run| &run.units)
        .filter(|of| of.unit == unit.unit);
    let tried = earlier.filter(|of| of.outcome != Outcome::Skipped || !of.errors.is_empty());
    let mut last = std::iter::once(unit).chain(tried).take(IN_A_ROW).map(is_so);
    let count = last.by_ref().take_while(|is_so| *is_so).count();
    count == IN_A_ROW
}

/// The runs before, newest first. Reports that cannot be read tell nothing.
fn before(config: &Config, report: &RunReport) -> Vec<RunReport> {
    let reports = Reports::newest_first(&past::folder(config))
        .into_iter()
        .flatten();
    let reports = reports
        .take(LOOKED_AT)
        .filter_map(|(_, report)| report.ok());
    reports
        .filter(|other| other.backup_id != report.backup_id)
        .collect()
}

/// Whether a run that did not find `cause` shows that it is gone.
fn settles(cause: &Cause, report: &RunReport, is_of_all: bool) -> bool {
    let of_unit = |unit: &UnitName| report.units.iter().find(|of| of.unit == *unit);
    match (&cause.unit, cause.what) {
        (None, What::Backup | What::Killed | What::NoRun | What::GivenUp) => is_of_all,
        (_, What::Drill | What::DrillKilled) => false,
        (None, What::Bundle) => report.recovery_bundle.is_some(),
        (None, _) => false,
        (Some(unit), what) => match (of_unit(unit), what) {
            // It is no unit of this host any more.
            (None, _) => is_of_all && report.interrupted.is_none(),
            (Some(of), What::LeftUp) => of.outcome != Outcome::Skipped,
            (Some(of), What::Unit) => of.is_good() || of.outcome == Outcome::SavedWithLoss,
            // What a point lacks it lacks until there is a whole one.
            (Some(of), _) => of.outcome == Outcome::Saved,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unit(outcome: &str, grade: &str, errors: &[&str]) -> Value {
        json!({
            "unit": "web", "outcome": outcome, "grade": grade, "downtime_seconds": 2.0, "steps": [], "sources": [], "gaps": [],
            "warnings": [], "errors": errors, "losses": [], "still_stopped": [],
        })
    }

    fn run(id: &str, units: &[Value]) -> RunReport {
        serde_json::from_value(json!({
            "format": 1, "kopi_docka_version": "0", "backup_id": id, "started_at": "2025-01-31T02:00:00Z",
            "finished_at": "2025-01-31T02:00:05Z", "exit_code": 0, "interrupted": null, "units": units,
        }))
        .unwrap()
    }

    fn wrong(unit: &Value, before: &[RunReport]) -> Vec<What> {
        let unit: UnitReport = serde_json::from_value(unit.clone()).unwrap();
        let mut found = Vec::new();
        of_unit(&Config::default(), &unit, before, &mut found);
        found
            .into_iter()
            .map(|problem| problem.cause.what)
            .collect()
    }

    #[test]
    fn what_is_wrong_with_a_unit_is_told_apart() {
        assert_eq!(wrong(&unit("saved", "ok", &[]), &[]), []);
        assert_eq!(
            wrong(&unit("failed", "ok", &["disk full"]), &[]),
            [What::Unit]
        );
        assert_eq!(
            wrong(&unit("saved", "hot", &["written"]), &[]),
            [What::Unit]
        );
        let lossy = unit("saved_with_loss", "partial", &["no volume"]);
        assert_eq!(wrong(&lossy, &[]), [What::Loss, What::RetentionSuspended]);
    }

    #[test]
    fn three_hot_runs_in_a_row_are_a_problem_and_so_are_three_nights_left_up() {
        let hot = unit("saved", "hot", &[]);
        let two = [
            run("2025-01-03T00-00-00Z", std::slice::from_ref(&hot)),
            run("2025-01-02T00-00-00Z", std::slice::from_ref(&hot)),
        ];
        assert_eq!(wrong(&hot, &two), [What::Hot]);
        assert_eq!(wrong(&unit("saved", "ok", &[]), &two), []);
        assert_eq!(wrong(&hot, &two[..1]), []);
        // A run that did not come to it is none.
        let interrupted = run("2025-01-04T00-00-00Z", &[unit("skipped", "ok", &[])]);
        let between = [interrupted, two[0].clone(), two[1].clone()];
        assert_eq!(wrong(&hot, &between), [What::Hot]);
        let left = unit("skipped", "ok", &["would be down for 2 h"]);
        let nights = [
            run("2025-01-03T00-00-00Z", std::slice::from_ref(&left)),
            run("2025-01-02T00-00-00Z", std::slice::from_ref(&left)),
        ];
        assert_eq!(wrong(&left, &nights), [What::LeftUp]);
        assert_eq!(wrong(&left, &nights[..1]), []);
    }

    #[test]
    fn a_run_settles_what_it_looked_at_and_nothing_else() {
        let [web, db] = ["web", "db"].map(|name| UnitName::parse(name).unwrap());
        let good = run("2025-01-03T00-00-00Z", &[unit("saved", "ok", &[])]);
        let of_web = |what| Cause::of_unit(what, &web);
        assert!(settles(&of_web(What::Unit), &good, false));
        assert!(settles(&of_web(What::RetentionSuspended), &good, false));
        assert!(!settles(&Cause::of_unit(What::Unit, &db), &good, false));
        assert!(settles(&Cause::of_unit(What::Unit, &db), &good, true));
        assert!(!settles(&Cause::of_host(What::Killed), &good, false));
        assert!(settles(&Cause::of_host(What::Killed), &good, true));
        assert!(!settles(
            &Cause::of_host(What::StorageNearlyFull),
            &good,
            true
        ));
        // What lacked something is not whole because it now fails.
        let failed = run("2025-01-03T00-00-00Z", &[unit("failed", "ok", &["x"])]);
        assert!(!settles(&of_web(What::RetentionSuspended), &failed, true));
        assert!(!settles(&of_web(What::Loss), &failed, true));
        let skipped = run("2025-01-03T00-00-00Z", &[unit("skipped", "ok", &[])]);
        assert!(!settles(&of_web(What::Unit), &skipped, true));
    }
}
