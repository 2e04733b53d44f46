//! `drill`: boots a restored copy where it can touch nothing but itself.

use clap_complete::ArgValueCompleter;
use serde_json::json;
use tracing::info;

use crate::base::lock::Lock;
use crate::completion;
use crate::config::Config;
use crate::context::Context;
use crate::drill::{self, Record, Request};
use crate::drivers::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::logging;
use crate::model::UnitName;
use crate::model::drill::DrillReport;
use crate::notify::{self, Kind, Messages};
use crate::points::choose::{Wanted, Which};
use crate::reports::drills::Drills;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The unit; without it, the one whose last drill is oldest
    #[arg(long, value_name = "UNIT", add = ArgValueCompleter::new(completion::saved_units))]
    unit: Option<UnitName>,

    /// Restore point: the ID of a run, or `latest` for the newest whole one
    #[arg(long, value_name = "ID|latest", default_value = "latest", requires = "unit", add = ArgValueCompleter::new(completion::backup_ids))]
    backup_id: Which,

    /// Drill a restore point of another host
    #[arg(long, value_name = "HOST", requires = "unit", add = ArgValueCompleter::new(completion::hosts))]
    host: Option<String>,

    /// Leave the copy running; `drill --remove` removes it
    #[arg(long)]
    keep: bool,

    /// Pull saved images that are not on this host
    #[arg(long)]
    pull: bool,

    /// Remove copies that `--keep` left, all or that with this ID
    #[arg(
        long,
        value_name = "ID",
        num_args = 0..=1,
        conflicts_with_all = ["unit", "backup_id", "host", "keep", "pull", "due"]
    )]
    remove: Option<Option<String>>,

    /// Only if `drill.every` says that it is time; for the timer
    #[arg(long, hide = true, conflicts_with_all = ["unit", "keep"])]
    due: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("drill")?;
    if let Some(id) = args.remove {
        return remove(cx, id.as_deref()).await;
    }
    let config = cx.config()?.config;
    let now = chrono::Utc::now();
    if args.due && !drill::is_due(&config, &Drills::load(&cx.paths.drills()), now) {
        cx.ui.say("No drill is due");
        return Ok(0);
    }
    let unit = match args.unit {
        Some(unit) => Some(unit),
        None => {
            cx.shutdown
                .cut("the drill", drill::next(cx, &config))
                .await?
        }
    };
    let Some(unit) = unit else {
        if args.due {
            cx.ui.say("No unit of this host has a whole restore point");
            return Ok(0);
        }
        return Err(Failure::new(
            Exit::NothingMatched,
            "no unit of this host has a whole restore point",
        )
        .hint("`kopi-docka backup` creates one; `--unit` with `--host` takes one of another host")
        .into());
    };
    let request = Request {
        wanted: Wanted {
            unit,
            which: args.backup_id,
            host: args.host,
        },
        is_kept: args.keep,
        pulls: args.pull,
    };
    let report = run_and_tell(cx, &config, &request).await?;
    let text = drill::report_text(&report);
    for line in text.lines() {
        info!(target: logging::FILE, "{line}");
    }
    if cx.ui.json {
        cx.ui.answer_json(&json!({ "drill": report }));
    } else if !cx.ui.quiet || report.exit_code != 0 {
        cx.ui.answer(text);
    }
    Ok(report.exit_code)
}

/// Those are told who are to be.
async fn run_and_tell(cx: &Context, config: &Config, request: &Request) -> Result<DrillReport> {
    let unit = &request.wanted.unit;
    let units = std::slice::from_ref(unit);
    let messages = Messages::begin(cx, config, Kind::Drill, units).await;
    // On the heap: its state is large.
    let ran = Box::pin(drill::run(cx, request)).await;
    if let Some(messages) = messages {
        messages.end(notify::of_drill(unit, &ran)).await;
    }
    ran
}

async fn remove(cx: &Context, id: Option<&str>) -> Result<u8> {
    cx.log_if_configured();
    let _lock = Lock::take_to_drill(&cx.paths.runtime, "drill --remove")?;
    let known = drill::kept(&cx.paths)?;
    let wanted: Vec<&Record> = known
        .iter()
        .filter(|record| id.is_none_or(|id| record.id == id || record.project == id))
        .collect();
    if let (Some(id), true) = (id, wanted.is_empty()) {
        let names = known
            .iter()
            .map(|record| format!("{} (`{}`)", record.id, record.unit));
        let names: Vec<String> = names.collect();
        let failure = Failure::new(
            Exit::NothingMatched,
            format!("no drill with the ID `{id}` was kept"),
        );
        return Err(match names.is_empty() {
            true => failure.hint("there are none"),
            false => failure.hint(format!("there are {}", names.join(", "))),
        }
        .into());
    }
    let mut removed = Vec::new();
    for record in wanted {
        let engine = Engine::connect(&record.socket).await?;
        drill::remove(&engine, &cx.paths, record).await?;
        removed.push(record.id.clone());
        if !cx.ui.json {
            cx.ui
                .answer(format!("Removed: drill {} of `{}`", record.id, record.unit));
        }
    }
    if cx.ui.json {
        cx.ui.answer_json(&json!({ "removed": removed }));
    } else if removed.is_empty() {
        cx.ui.answer("No drill was kept.");
    }
    Ok(0)
}
