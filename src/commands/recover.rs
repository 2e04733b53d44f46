//! `recover`: finishes or undoes an interrupted restore, then starts again what an interrupted run left stopped. Doing it
//! twice is harmless.

use serde_json::json;

use crate::base::blocking::aside;
use crate::base::lock::Lock;
use crate::base::work;
use crate::context::Context;
use crate::drill;
use crate::error::{Exit, Failure, Result};
use crate::quiesce::replay;
use crate::recovery;
use crate::recovery::Services;
use crate::recovery::before_docker::engine_at_work;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// At boot, before Docker starts: only put the data of an interrupted restore in order
    #[arg(long)]
    before_docker: bool,

    /// Leave messages to kopi-docka-notify.service: this unit reaches no network
    #[arg(long, hide = true)]
    no_messages: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("recover")?;
    cx.log_if_configured();
    let tells = !args.no_messages && !args.before_docker;
    let recovered = recover(cx, args).await;
    if tells {
        super::notify::tell(cx).await;
    }
    recovered
}

async fn recover(cx: &Context, args: Args) -> Result<u8> {
    let _lock = Lock::take(&cx.paths.runtime, "recover")?;
    work::remove_stale(&cx.paths.runtime)?;
    if args.before_docker {
        return before_docker(cx).await;
    }
    // First, so that nothing is started on data that is half restored.
    let services = Services::Asked(cx);
    let settled = recovery::replay(&cx.paths.restore_journals(), services, &cx.ui).await?;
    let replayed = replay::replay(&cx.paths.stop_records(), None, &cx.ui, &cx.shutdown).await?;
    let owed = recovery::bring_up_owed(cx).await?;
    let drills = drill::remove_killed(&cx.paths).await;
    let warnings = settled.warnings.iter().chain(&replayed.started.warnings);
    let hooks = recovery::catch_up_hooks(cx, &replayed.down).await?;
    for warning in warnings.chain(&owed).chain(&hooks) {
        cx.ui.warn(warning);
    }
    // What runs is more than what is to be removed.
    let drills = drills.unwrap_or_else(|error| {
        cx.ui.warn(format!(
            "an interrupted drill is not removed yet: {error:#}"
        ));
        0
    });
    let still_stopped = &replayed.started.still_stopped;
    if cx.ui.json {
        let names: Vec<&String> = still_stopped.iter().map(|(name, _)| name).collect();
        cx.ui.answer_json(&json!({
            "records": replayed.records, "up": replayed.started.up, "still_stopped": names,
            "restores_finished": settled.finished, "restores_undone": settled.undone, "drills_removed": drills,
        }));
    } else {
        if settled.finished > 0 {
            cx.ui
                .answer("Finished: the interrupted restore is complete.");
        }
        if settled.undone > 0 {
            cx.ui.answer("Undone: the previous data is back in place.");
        }
        if drills > 0 {
            cx.ui.answer("Removed: what an interrupted drill had made.");
        }
        if !replayed.started.up.is_empty() {
            cx.ui
                .answer(format!("Running again: {}", replayed.started.up.join(", ")));
        } else if replayed.records + settled.finished + settled.undone + drills == 0 {
            cx.ui.answer("Nothing to recover: no run was interrupted.");
        }
    }
    let Some((name, reason)) = still_stopped.first() else {
        return Ok(0);
    };
    let mut failure = Failure::new(
        Exit::StillStopped,
        format!("container `{name}` does not start: {reason}"),
    )
    .hint(format!(
        "see `docker logs {name}`, fix it, then run `kopi-docka recover` again"
    ));
    for (name, reason) in still_stopped.iter().skip(1) {
        failure = failure.note(format!(
            "container `{name}` does not start either: {reason}"
        ));
    }
    Err(failure.into())
}

/// A unit is never started half old and half new, and Docker starts some by itself as soon as it runs.
async fn before_docker(cx: &Context) -> Result<u8> {
    if let Some(process) = aside(engine_at_work).await? {
        // They may be at work on the data: Docker is to be asked.
        cx.ui.answer(format!(
            "Left to `kopi-docka recover`: containers may run already (`{process}`)."
        ));
        return Ok(0);
    }
    let services = Services::NotYet;
    let settled = recovery::replay(&cx.paths.restore_journals(), services, &cx.ui).await?;
    for warning in &settled.warnings {
        cx.ui.warn(warning);
    }
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "records": 0, "up": [], "still_stopped": [],
            "restores_finished": settled.finished, "restores_undone": settled.undone, "drills_removed": 0,
        }));
    } else if settled.finished > 0 {
        cx.ui
            .answer("Finished: the interrupted restore is complete.");
    }
    Ok(0)
}
