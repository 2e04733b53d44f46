//! One plan, one question, and then one unit after the other.

use serde_json::json;
use tracing::info;

use super::outcome::{UnitOutcome, exit_code};
use super::show::plan_text;
use super::survey::{Surveyed, survey};
use super::units::Wanted;
use crate::base::text;
use crate::context::Context;
use crate::error::{Exit, Result, exit_of, render};
use crate::logging;
use crate::restore::apply::{apply, reporter};
use crate::restore::events::Event;
use crate::restore::plan::decision::Plan;
use crate::restore::session::Session;
use crate::ui::prompt;

/// Returns the worst exit code.
pub async fn run(cx: &Context, wanted: &Wanted) -> Result<u8> {
    let mut session = Session::open(cx, wanted.is_dry).await?;
    let requests = wanted.requests(&session)?;
    let mut all = survey(&mut session, requests).await?;
    show(cx, &all, wanted.is_dry);
    let is_asked = !wanted.is_dry && !wanted.is_agreed && !cx.ui.json && prompt::is_possible();
    let short = wanted.doors.check_space_of_all(plans(&all));
    if !is_asked {
        short?;
    } else if let Err(short) = short {
        let question = format!("{short:#}. Restore anyway?");
        prompt::confirm(&question, "--ignore-space", &cx.shutdown).await?;
        // Each unit is looked at again when it is its turn.
        for one in &mut all {
            one.request.doors.ignore_space = true;
        }
    }
    if wanted.is_dry {
        let refused: Vec<UnitOutcome> = all.iter().filter_map(refused).collect();
        return Ok(exit_code(&refused));
    }
    if !wanted.is_agreed && plans(&all).any(|plan| !plan.is_empty()) {
        prompt::confirm(&question(plans(&all)), "--yes", &cx.shutdown).await?;
    }
    let mut outcomes = Vec::new();
    for one in &all {
        let outcome = match refused(one) {
            Some(refused) => refused,
            None => restore(&session, one).await,
        };
        outcomes.push(outcome);
    }
    let exit_code = exit_code(&outcomes);
    cx.ui.event(&Event::RestoreAllFinished {
        units: &outcomes,
        exit_code,
    });
    if cx.ui.answers_people() {
        let lines: Vec<String> = outcomes.iter().map(UnitOutcome::text).collect();
        cx.ui.answer(lines.join("\n"));
        if outcomes.iter().any(|one| one.keeps) {
            cx.ui.answer("\nWhat was there before is kept: `kopi-docka restore --list-safety` shows it, `--undo ID` brings it back, `--discard-safety all` removes it.");
        }
    }
    Ok(exit_code)
}

/// Of those that could be planned.
fn plans(all: &[Surveyed]) -> impl Iterator<Item = &Plan> {
    all.iter().filter_map(|one| one.plan.as_ref().ok())
}

/// The outcome of a unit that could not be planned.
fn refused(one: &Surveyed) -> Option<UnitOutcome> {
    let error = one.plan.as_ref().err()?;
    let unit = one.request.unit.clone();
    Some(UnitOutcome::failed(
        unit,
        None,
        exit_of(error),
        format!("{error:#}"),
    ))
}

/// By a plan that is made anew: the units before it have changed what is here.
async fn restore(session: &Session<'_>, one: &Surveyed) -> UnitOutcome {
    let cx = session.ground.cx;
    let point = one.plan.as_ref().ok().map(|plan| plan.backup_id.clone());
    let unit = one.request.unit.clone();
    if cx.shutdown.is_asked() {
        let what = "not begun: a signal ended the restore".to_owned();
        return UnitOutcome::failed(unit, point, cx.shutdown.exit(), what);
    }
    cx.ui.say(format!("Restoring `{unit}`"));
    let done = async {
        let planned = cx
            .shutdown
            .cut("the restore", session.plan_to_apply(&one.request))
            .await?;
        one.request.doors.check_space(&planned.plan)?;
        info!(target: logging::FILE, "restores `{}` from {}", planned.plan.unit, planned.plan.backup_id);
        cx.ui.event(&Event::RestorePlanned {
            plan: &planned.plan,
        });
        apply(session, planned, &one.request.doors).await
    };
    match done.await {
        Ok(report) => {
            for line in reporter::report_text(&report).lines() {
                info!(target: logging::FILE, "{line}");
            }
            for warning in &report.warnings {
                cx.ui.warn(format!("`{unit}`: {warning}"));
            }
            if let Some(said) = reporter::left_behind(report.safety_copies()) {
                cx.ui.warn(said);
            }
            cx.ui.event(&Event::RestoreFinished { report: &report });
            UnitOutcome::restored(&report)
        }
        Err(error) => {
            cx.ui.error(&render(&error));
            let exit = match exit_of(&error) {
                Exit::Unexpected => Exit::UnitsFailed,
                exit => exit,
            };
            UnitOutcome::failed(unit, point, exit, format!("{error:#}"))
        }
    }
}

fn show(cx: &Context, all: &[Surveyed], is_dry: bool) {
    let plans: Vec<&Plan> = all
        .iter()
        .filter_map(|one| one.plan.as_ref().ok())
        .collect();
    let refused: Vec<UnitOutcome> = all.iter().filter_map(refused).collect();
    if cx.ui.json {
        if is_dry {
            cx.ui
                .answer_json(&json!({"plans": plans, "refused": refused}));
        }
        return;
    }
    let text = plan_text(all);
    if is_dry {
        cx.ui.answer(text);
    } else {
        cx.ui.say(text);
    }
    for plan in &plans {
        for warning in &plan.warnings {
            cx.ui.warn(format!("`{}`: {warning}", plan.unit));
        }
    }
    for one in all {
        if let Err(error) = &one.plan {
            cx.ui.error(&render(error));
            cx.ui
                .say(format!("`{}` is not restored.", one.request.unit));
        }
    }
}

fn question<'a>(plans: impl Iterator<Item = &'a Plan>) -> String {
    let (mut units, mut stopped) = (0, 0);
    for plan in plans {
        units += 1;
        stopped += plan.stops.len();
    }
    let what = text::count(units, "unit");
    if stopped == 0 {
        return format!("Restore {what}?");
    }
    let stopped = text::count(stopped, "container");
    format!("Restore {what}, with {stopped} stopped for a moment each?")
}
