//! `status`: one look at everything, by what runs left on this host. The repository is not asked.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::base::blocking::aside;
use crate::base::text;
use crate::context::Context;
use crate::doctor;
use crate::error::{Result, result};
use crate::model::report::Outcome;
use crate::reports::drills::Drills;
use crate::reports::past;
use crate::reports::status::{Status, UnitRun, UnitStatus};
use crate::ui::table;

#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    status: &'a Status,
    /// `None` where nothing of systemd begins one.
    next_run_at: Option<DateTime<Utc>>,
}

pub async fn run(cx: &Context, _: Args) -> Result<u8> {
    let config = cx.config()?.config;
    let folder = past::folder(&config);
    let drills = cx.paths.drills();
    let status = aside(move || Status::load(&folder, &Drills::load(&drills))).await?;
    let next = doctor::next_run(status.last_run.as_ref().map(|run| run.started_at)).await;
    if cx.ui.json {
        cx.ui.answer_json(&Answer {
            status: &status,
            next_run_at: next,
        });
        return Ok(0);
    }
    let now = Utc::now();
    if status.damaged > 0 {
        let reports = text::count(status.damaged, "report");
        cx.ui.warn(format!(
            "{reports} cannot be read: what those runs did is not known"
        ));
    }
    if status.units.is_empty() {
        cx.ui
            .answer("No unit was backed up yet. `kopi-docka backup` does it.");
    } else {
        let rows = status.units.iter().map(|unit| row(unit, now));
        cx.ui.answer(table::table(
            [
                "UNIT",
                "LAST POINT",
                "GRADE",
                "DOWN",
                "",
                "STORED",
                "",
                "DRILL",
                "",
            ],
            &[3, 5],
            rows,
        ));
    }
    cx.ui.answer(around(&status, next, now));
    Ok(0)
}

fn row(unit: &UnitStatus, now: DateTime<Utc>) -> [String; 9] {
    let [point, grade] = unit.point.as_ref().map_or_else(
        || ["none".to_owned(), "-".to_owned()],
        |point| {
            let age = text::age(point.made_at, now);
            [format!("{age} ago"), point.grade.as_str().to_owned()]
        },
    );
    let last = unit.runs.last();
    let drill = unit.drill.as_ref().map_or_else(
        || "never".to_owned(),
        |drill| format!("{}, {} ago", drill.outcome, text::age(drill.at, now)),
    );
    let trouble = match unit.outcome {
        Outcome::Saved if unit.errors.is_empty() => String::new(),
        outcome => {
            let why = unit.errors.first().map(|why| format!(": {why}"));
            format!("{}{}", outcome.as_str(), why.unwrap_or_default())
        }
    };
    [
        unit.unit.to_string(),
        point,
        grade,
        last.map_or_else(String::new, |run| text::seconds(run.downtime_seconds)),
        sparkline(&unit.runs, |run| run.downtime_seconds),
        last.map_or_else(String::new, |run| text::bytes(run.stored_bytes())),
        sparkline(&unit.runs, |run| run.stored_bytes() as f64),
        drill,
        text::printable(&trouble),
    ]
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar each, against the largest; a run that saved nothing is a gap.
fn sparkline(runs: &[UnitRun], of: impl Fn(&UnitRun) -> f64) -> String {
    let largest = runs.iter().map(&of).fold(0.0, f64::max);
    let bar = |run: &UnitRun| {
        if matches!(run.outcome, Outcome::Failed | Outcome::Skipped) {
            return '·';
        }
        let share = if largest > 0.0 {
            of(run) / largest
        } else {
            0.0
        };
        // Between 0 and 7.
        let at = (share * 7.0).round() as usize;
        BARS.get(at).copied().unwrap_or('█')
    };
    runs.iter().map(bar).collect()
}

fn around(status: &Status, next: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let last = status.last_run.as_ref().map(|run| {
        let age = text::age(run.finished_at, now);
        format!(
            "Last run: {age} ago, {} (exit code {}).",
            result(run.exit_code),
            run.exit_code
        )
    });
    let next = match next {
        Some(next) => format!("Next run: {}.", text::minute(next)),
        None => "Next run: not known; nothing of systemd starts one.".to_owned(),
    };
    let lines = last.into_iter().chain([next]);
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BackupId;
    use crate::model::report::UnitBytes;

    #[test]
    fn a_bar_is_as_long_as_its_share_and_a_run_that_saved_nothing_is_a_gap() {
        let run = |seconds, outcome| UnitRun {
            backup_id: BackupId::at(Utc::now()),
            outcome,
            downtime_seconds: seconds,
            bytes: UnitBytes::default(),
        };
        let saved = Outcome::Saved;
        let runs = [
            run(0.0, saved),
            run(7.0, saved),
            run(0.0, Outcome::Failed),
            run(14.0, saved),
        ];
        assert_eq!(sparkline(&runs, |run| run.downtime_seconds), "▁▅·█");
        assert_eq!(sparkline(&runs[..1], |run| run.downtime_seconds), "▁");
        assert_eq!(sparkline(&[], |run| run.downtime_seconds), "");
    }
}
