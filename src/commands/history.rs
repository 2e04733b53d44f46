//! `history`: what earlier runs did, from their reports on this host. Needs nothing but to read them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use crate::base::text;
use crate::completion;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::model::report::{Outcome, RunReport, UnitBytes, UnitReport};
use crate::model::{BackupId, Grade, UnitName};
use crate::reports::past::{self, Reports};
use crate::ui::table;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit (can be repeated)
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::units_here))]
    units: Vec<UnitName>,

    /// Only failed runs
    #[arg(long)]
    failed: bool,

    /// Maximum number of runs to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    last: u32,
}

/// The answer as JSON, the newest run first. Fields are only ever added.
#[derive(Serialize)]
struct History {
    runs: Vec<Run>,
    /// Older ones may match too.
    is_cut: bool,
    /// Report files that nothing could be made of.
    damaged: Vec<PathBuf>,
}

#[derive(Serialize)]
struct Run {
    backup_id: BackupId,
    started_at: DateTime<Utc>,
    finished_at: DateTime<Utc>,
    exit_code: u8,
    interrupted: Option<String>,
    report: PathBuf,
    units: Vec<UnitRun>,
}

#[derive(Serialize)]
struct UnitRun {
    unit: UnitName,
    outcome: Outcome,
    grade: Option<Grade>,
    downtime_seconds: f64,
    sources: usize,
    #[serde(flatten)]
    bytes: UnitBytes,
    errors: Vec<String>,
    still_stopped: Vec<String>,
}

pub fn run(cx: &Context, args: Args) -> Result<u8> {
    let loaded = cx.config()?;
    let folder = past::folder(&loaded.config);
    let history = read(&folder, &args).map_err(|error| explain(error, &folder))?;
    for path in &history.damaged {
        cx.ui.warn(format!(
            "`{}` is damaged: what that run did is not known",
            path.display()
        ));
    }
    if cx.ui.json {
        cx.ui.answer_json(&history);
    } else {
        show(cx, &args, &history);
    }
    Ok(0)
}

fn read(folder: &Path, args: &Args) -> Result<History> {
    let mut history = History {
        runs: Vec::new(),
        is_cut: false,
        damaged: Vec::new(),
    };
    let mut is_known = args.units.is_empty();
    for (path, report) in Reports::newest_first(folder)? {
        let report = match report {
            Ok(report) => report,
            // Missing permissions are not damage.
            Err(error) if kind(&error) == Some(ErrorKind::PermissionDenied) => return Err(error),
            Err(_) => {
                history.damaged.push(path);
                continue;
            }
        };
        is_known |= report
            .units
            .iter()
            .any(|unit| args.units.contains(&unit.unit));
        let Some(run) = matching(report, path, args) else {
            continue;
        };
        if history.runs.len() == args.last as usize {
            history.is_cut = true;
            break;
        }
        history.runs.push(run);
    }
    if !is_known {
        let names: Vec<String> = args.units.iter().map(|unit| format!("`{unit}`")).collect();
        let failure = Failure::new(
            Exit::NothingMatched,
            format!("no run has unit {}", names.join(", ")),
        );
        return Err(failure
            .hint("see all runs with `kopi-docka history`")
            .into());
    }
    Ok(history)
}

/// What of a run was asked for; `None` when nothing of it was.
fn matching(report: RunReport, path: PathBuf, args: &Args) -> Option<Run> {
    let is_asked = |unit: &UnitReport| {
        (args.units.is_empty() || args.units.contains(&unit.unit))
            && !(args.failed && unit.is_good())
    };
    let units: Vec<UnitRun> = report
        .units
        .into_iter()
        .filter(is_asked)
        .map(|unit| UnitRun {
            bytes: unit.bytes(),
            unit: unit.unit,
            outcome: unit.outcome,
            grade: unit.grade,
            downtime_seconds: unit.downtime_seconds,
            sources: unit.sources.len(),
            errors: unit.errors,
            still_stopped: unit.still_stopped,
        })
        .collect();
    // A run that ended before it came to a unit is still a run.
    let is_bare = args.units.is_empty() && (!args.failed || report.exit_code != 0);
    (is_bare || !units.is_empty()).then_some(Run {
        backup_id: report.backup_id,
        started_at: report.started_at,
        finished_at: report.finished_at,
        exit_code: report.exit_code,
        interrupted: report.interrupted,
        report: path,
        units,
    })
}

fn kind(error: &anyhow::Error) -> Option<ErrorKind> {
    error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind)
}

fn explain(error: anyhow::Error, folder: &Path) -> anyhow::Error {
    if kind(&error) != Some(ErrorKind::PermissionDenied) {
        return error;
    }
    Failure::new(
        Exit::NeedsRoot,
        format!(
            "no permission to read the reports in `{}`",
            folder.display()
        ),
    )
    .hint("run `sudo kopi-docka history`")
    .into()
}

fn show(cx: &Context, args: &Args, history: &History) {
    if history.runs.is_empty() {
        cx.ui.answer(if args.failed {
            "No run failed."
        } else {
            "No runs yet. `kopi-docka backup` creates one."
        });
        return;
    }
    let mut rows = Vec::new();
    for run in &history.runs {
        rows.extend(run.units.iter().map(|unit| unit_row(run, unit)));
        if run.units.is_empty() {
            let why = run.interrupted.clone().unwrap_or_default();
            let result = format!("exit code {}", run.exit_code);
            let [none, empty] = ["-", ""].map(str::to_owned);
            let id = run.backup_id.to_string();
            let [size, window, downtime] = [(); 3].map(|()| empty.clone());
            rows.push([id, none.clone(), result, none, size, window, downtime, why]);
        }
    }
    cx.ui.answer(table::table(
        [
            "BACKUP ID",
            "UNIT",
            "RESULT",
            "GRADE",
            "SIZE",
            "IN WINDOW",
            "DOWNTIME",
            "",
        ],
        &[4, 5, 6],
        rows,
    ));
    if history.is_cut {
        cx.ui.say(format!(
            "There are older ones: `--last {}` shows more.",
            args.last.saturating_mul(2)
        ));
    }
}

fn unit_row(run: &Run, unit: &UnitRun) -> [String; 8] {
    let still_stopped = (!unit.still_stopped.is_empty())
        .then(|| format!("left stopped: {}", unit.still_stopped.join(", ")));
    [
        run.backup_id.to_string(),
        unit.unit.to_string(),
        unit.outcome.as_str().to_owned(),
        unit.grade.map_or("-", |grade| grade.as_str()).to_owned(),
        text::bytes(unit.bytes.bytes),
        text::bytes(unit.bytes.window_bytes),
        text::seconds(unit.downtime_seconds),
        still_stopped
            .into_iter()
            .chain(unit.errors.iter().cloned())
            .collect::<Vec<_>>()
            .join(": "),
    ]
}
