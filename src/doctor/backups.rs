//! When each unit was backed up last, and how that went.

use chrono::{DateTime, TimeDelta, Utc};

use super::finding::Finding;
use crate::base::text;
use crate::config::Config;
use crate::error::Exit;
use crate::model::UnitName;
use crate::model::report::Outcome;
use crate::reports::past::{self, Last, LastRuns};

const AREA: &str = "backups";

/// Where nothing tells how often backups are made: every night.
const NIGHTLY: TimeDelta = TimeDelta::days(1);
/// One backup was missed when nothing came for so many intervals, and none comes any more after so many.
const LATE: i32 = 2;
const TOO_OLD: i32 = 8;
/// However short the interval is: a host may be off for an evening.
const LATE_AT_LEAST: TimeDelta = TimeDelta::hours(6);
const TOO_OLD_AT_LEAST: TimeDelta = TimeDelta::days(2);

/// `units` are those that a run without a name saves; without them those that the reports tell of. `interval` is that of the schedule.
pub fn check(
    config: Option<&Config>,
    units: Option<Vec<UnitName>>,
    interval: Option<TimeDelta>,
) -> Vec<Finding> {
    let Some(config) = config else {
        return Vec::new();
    };
    let folder = past::folder(config);
    let last = match LastRuns::load(&folder, units.as_deref()) {
        Ok(last) => last,
        Err(error) => return vec![Finding::of_error(AREA, &error)],
    };
    let names = units.unwrap_or_else(|| last.units().cloned().collect());
    let now = Utc::now();
    names
        .iter()
        .map(|unit| judge(unit, last.of(unit), now, interval.unwrap_or(NIGHTLY)))
        .collect()
}

fn judge(unit: &UnitName, last: Option<&Last>, now: DateTime<Utc>, interval: TimeDelta) -> Finding {
    let again = format!("run `kopi-docka backup --unit {unit}`");
    let Some(last) = last else {
        return Finding::warning(AREA, format!("unit `{unit}` was never backed up")).remedy(again);
    };
    let age = |time| format!("{} ago", text::age(time, now));
    let good = last.good_at.map_or_else(
        || "no good backup is known".to_owned(),
        |time| format!("the last good one was {}", age(time)),
    );
    let why = last
        .report
        .errors
        .first()
        .map_or_else(String::new, |error| format!(": {error}"));
    let see = format!("see `kopi-docka history --unit {unit}`, fix it, then {again}");
    let tried = age(last.at);
    match last.report.outcome {
        _ if last.report.is_good() => {}
        Outcome::Saved => {
            let message =
                format!("the last backup of unit `{unit}`, {tried}, was not whole{why}; {good}");
            return Finding::warning(AREA, message).remedy(see);
        }
        Outcome::SavedWithLoss => {
            let message = format!(
                "the last backup of unit `{unit}`, {tried}, lacks something{why}; {good}; none of its restore points is removed until it is saved whole"
            );
            return Finding::failure(AREA, Exit::UnitsFailed, message).remedy(see);
        }
        Outcome::Skipped => {
            let message = format!("unit `{unit}` was left up {tried} and not saved{why}; {good}");
            return Finding::failure(AREA, Exit::UnitsFailed, message).remedy(see);
        }
        Outcome::Failed => {
            let message = format!("the last backup of unit `{unit}`, {tried}, failed{why}; {good}");
            return Finding::failure(AREA, Exit::UnitsFailed, message).remedy(see);
        }
    }
    let Some(time) = last.good_at else {
        return Finding::warning(AREA, format!("unit `{unit}`: {good}")).remedy(again);
    };
    let message = format!("unit `{unit}` was backed up {}", age(time));
    if now - time > (interval * TOO_OLD).max(TOO_OLD_AT_LEAST) {
        Finding::failure(AREA, Exit::UnitsFailed, format!("{message}: too old")).remedy(again)
    } else if now - time > (interval * LATE).max(LATE_AT_LEAST) {
        Finding::warning(AREA, message).remedy(again)
    } else {
        Finding::ok(AREA, message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;
    use crate::model::report::UnitReport;

    fn last(outcome: &str, good_days_ago: Option<i64>, now: DateTime<Utc>) -> Last {
        let errors = if outcome == "saved" {
            vec![]
        } else {
            vec!["disk full"]
        };
        let report: UnitReport = serde_json::from_value(serde_json::json!({
            "unit": "web", "outcome": outcome, "grade": null, "downtime_seconds": 0.0, "steps": [], "sources": [],
            "gaps": [], "warnings": [], "errors": errors, "still_stopped": [],
        }))
        .unwrap();
        Last {
            at: now,
            report,
            good_at: good_days_ago.map(|days| now - TimeDelta::days(days)),
            points: None,
        }
    }

    #[test]
    fn never_failed_late_and_too_old_are_told_apart() {
        let now = Utc::now();
        let web = UnitName::parse("web").unwrap();
        let state = |last: Option<Last>| {
            let finding = judge(&web, last.as_ref(), now, NIGHTLY);
            (finding.state, finding.exit_code)
        };
        let every = |days: i64, good_days_ago: i64| {
            let last = last("saved", Some(good_days_ago), now);
            judge(&web, Some(&last), now, TimeDelta::days(days)).state
        };
        // A weekly backup is not late after three days, nor a monthly one after a month.
        assert_eq!(every(7, 6), State::Ok);
        assert_eq!(every(7, 15), State::Warning);
        assert_eq!(every(7, 57), State::Failure);
        assert_eq!(every(30, 31), State::Ok);
        assert_eq!(every(0, 1), State::Warning);
        assert_eq!(state(None), (State::Warning, None));
        assert_eq!(state(Some(last("saved", Some(0), now))), (State::Ok, None));
        assert_eq!(
            state(Some(last("saved", Some(3), now))),
            (State::Warning, None)
        );
        assert_eq!(
            state(Some(last("saved", Some(9), now))),
            (State::Failure, Some(3))
        );
        assert_eq!(
            state(Some(last("saved_with_loss", Some(1), now))),
            (State::Failure, Some(3))
        );
        let failed = judge(&web, Some(&last("failed", None, now)), now, NIGHTLY);
        assert_eq!(failed.exit_code, Some(3));
        assert_eq!(
            failed.message,
            "the last backup of unit `web`, 0 s ago, failed: disk full; no good backup is known"
        );
    }
}
