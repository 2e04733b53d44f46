//! `repo-maintenance`: retention for every unit of this host, then Kopia's maintenance.

use chrono::Utc;
use serde_json::json;

use crate::base::lock::Lock;
use crate::base::text;
use crate::context::Context;
use crate::drivers::kopia::{Maintenance, Mode};
use crate::error::{Exit, Failure, Result};
use crate::model::report::{MaintenanceReport, RetentionReport};
use crate::recovery;
use crate::repository::Repository;
use crate::repository::password;
use crate::retention::maintenance;
use crate::retention::{self, Scope};
use crate::ui::progress::Progress;
use crate::ui::table;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run quick maintenance only; full maintenance, which frees space, can take long in a large repository
    #[arg(long)]
    quick: bool,

    /// Show what would be removed and change nothing
    #[arg(long)]
    dry_run: bool,
}

struct Done {
    retention: RetentionReport,
    info: Maintenance,
    is_ours: bool,
    due: Option<Mode>,
    ran: Option<MaintenanceReport>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("repo-maintenance")?;
    let mode = if args.quick { Mode::Quick } else { Mode::Full };
    let work = work(cx, mode, args.dry_run);
    let done = tokio::select! {
        biased;
        () = cx.shutdown.asked() => {
            let what = "a signal ended the maintenance: what was begun is continued by the next one";
            return Err(Failure::new(cx.shutdown.exit(), what).into());
        }
        done = work => done?,
    };
    show(cx, mode, args.dry_run, &done);
    Ok(0)
}

async fn work(cx: &Context, mode: Mode, dry_run: bool) -> Result<Done> {
    let lock = if dry_run {
        None
    } else {
        Some(Lock::take(&cx.paths.runtime, "repo-maintenance")?)
    };
    if !dry_run {
        recovery::bring_up_or_tell(cx).await?;
    }
    let config = cx.config()?;
    let config = password::settle(cx, lock.as_ref(), config)
        .await?
        .loaded
        .config;
    let repository = Repository::of(cx, &config)?;
    let status = repository.open().await?;
    if !dry_run {
        repository.settle(&status).await?;
    }
    let kopia = &repository.kopia;
    let progress = Progress::new(&cx.ui);
    let what = if dry_run {
        "looking at the restore points"
    } else {
        "removing old restore points"
    };
    progress.headline(what.to_owned(), false);
    let scope = Scope::default();
    let outlook = if dry_run {
        retention::look(kopia, &config, &scope).await?
    } else {
        retention::apply(kopia, &config, &scope).await?
    };
    if let Some(conflict) = outlook.conflict.as_ref().filter(|_| !dry_run) {
        let mut failure = Failure::new(Exit::Config, conflict.sentence());
        for remedy in conflict.remedies() {
            failure = failure.hint(remedy);
        }
        return Err(failure.note("nothing was removed").into());
    }
    let info = kopia.maintenance().await?;
    let is_ours = maintenance::is_ours(kopia, &info) && outlook.conflict.is_none();
    let due = info.due(Utc::now(), outlook.first_snapshot);
    let ran = if is_ours && !dry_run {
        progress.headline(format!("{} maintenance", mode.as_str()), false);
        Some(maintenance::run(kopia, &config, &cx.paths, mode).await?)
    } else {
        None
    };
    drop(progress);
    for warning in &outlook.report.warnings {
        cx.ui.warn(warning);
    }
    if !is_ours && outlook.conflict.is_none() {
        cx.ui.warn(maintenance::not_ours(kopia, &info));
    }
    Ok(Done {
        retention: outlook.report,
        info,
        is_ours,
        due,
        ran,
    })
}

fn show(cx: &Context, mode: Mode, dry_run: bool, done: &Done) {
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "dry_run": dry_run,
            "retention": done.retention,
            "maintenance": {
                "owner": done.info.owner,
                "is_ours": done.is_ours,
                "mode": mode,
                "was_due": done.due,
                "ran": done.ran,
            },
        }));
        return;
    }
    if cx.ui.quiet {
        return;
    }
    cx.ui.answer(retention_text(&done.retention, dry_run));
    match &done.ran {
        Some(ran) => cx.ui.answer(format!(
            "Maintenance ({}) took {}",
            ran.mode,
            text::seconds(ran.seconds)
        )),
        None if dry_run && done.is_ours => cx
            .ui
            .answer(format!("Maintenance would be {}", mode.as_str())),
        None => {}
    }
}

fn retention_text(report: &RetentionReport, dry_run: bool) -> String {
    let rows = report.units.iter().flat_map(|unit| {
        unit.removed.iter().map(|point| {
            [
                unit.unit.to_string(),
                point.backup_id.to_string(),
                point.state.clone(),
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let kept: usize = report.units.iter().map(|unit| unit.kept).sum();
    let kept = text::count(kept, "restore point");
    let mut answer = if rows.is_empty() {
        format!("No restore point goes, {kept} stay")
    } else {
        let verb = if dry_run { "would go" } else { "removed" };
        let gone = text::count(rows.len(), "restore point");
        let table = table::table(["UNIT", "BACKUP ID", "STATE"], &[], rows);
        format!("{table}\n\n{gone} {verb}, {kept} stay")
    };
    for unit in report.units.iter().filter(|unit| unit.keeps_everything) {
        answer.push_str(&format!(
            "\n`{}` keeps every point: all its numbers in `retention` are 0",
            text::printable(unit.unit.as_str())
        ));
    }
    answer
}
