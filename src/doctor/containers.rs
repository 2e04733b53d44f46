//! Docker, the units that it runs, and what a backup of them would not save.

use super::finding::Finding;
use crate::backup;
use crate::backup::memory::recall_losses;
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Discovery, Rules};
use crate::drivers::docker::Engine;
use crate::error::{Exit, Result};
use crate::model::Unit;

pub const AREA: &str = "docker";
const COVERAGE: &str = "coverage";

/// How many gaps of a unit are told in a line.
const TOLD: usize = 3;

/// The units are those that a run without a name saves; `None` where Docker did not tell.
pub async fn check(cx: &Context, config: Option<&Config>) -> (Vec<Finding>, Option<Vec<Unit>>) {
    let default = Config::default();
    let config = config.unwrap_or(&default);
    let engine = match Engine::connect(&config.docker.socket).await {
        Ok(engine) => engine,
        Err(error) => return (vec![Finding::of_error(AREA, &error)], None),
    };
    let reached = format!(
        "Docker {} (API {}; 1.41 or newer) at `{}`",
        engine.version(),
        engine.api(),
        engine.socket().display()
    );
    let mut findings = vec![Finding::ok(AREA, reached)];
    match discovery::discover(&engine, &Rules::of(config, &cx.paths)).await {
        Ok(host) => match coverage(without_agreed(cx, config, host)) {
            Ok((covered, units)) => {
                findings.extend(covered);
                (findings, Some(units))
            }
            Err(error) => {
                findings.push(Finding::of_error(COVERAGE, &error));
                (findings, None)
            }
        },
        Err(error) => {
            findings.push(Finding::of_error(AREA, &error));
            (findings, None)
        }
    }
}

/// What the operator agreed to lose is no loss.
fn without_agreed(cx: &Context, config: &Config, mut host: Discovery) -> Discovery {
    for unit in &mut host.units {
        // What the last run lacked is told with that.
        recall_losses(&cx.paths, config.profile(), unit);
    }
    host
}

fn coverage(host: Discovery) -> Result<(Vec<Finding>, Vec<Unit>)> {
    let orphans = host.orphan_volumes.len();
    let chosen = backup::choose(host.units, &[])?;
    let mut summary = format!(
        "{} to back up, {} left out",
        text::count(chosen.units.len(), "unit"),
        chosen.left_out.len()
    );
    if orphans > 0 {
        let volumes = text::count(orphans, "volume");
        summary.push_str(&format!(
            "; {volumes} that no container uses {} not saved",
            if orphans == 1 { "is" } else { "are" }
        ));
    }
    let mut findings = vec![Finding::ok(COVERAGE, summary)];
    for left in chosen.left_out.iter().filter(|left| !left.on_purpose) {
        let message = format!("unit `{}` is not backed up: {}", left.unit, left.reason);
        findings.push(Finding::warning(COVERAGE, message).remedy(
            "save its data with the tools of its orchestrator, or leave the unit out (`kopi-docka.enable=false`)",
        ));
    }
    findings.extend(chosen.units.iter().filter_map(of_unit));
    Ok((findings, chosen.units))
}

fn of_unit(unit: &Unit) -> Option<Finding> {
    let see = format!("see `kopi-docka dry-run --unit {}`", unit.name);
    if let Some(blocker) = &unit.blocker {
        let message = format!("unit `{}` cannot be backed up: {blocker}", unit.name);
        return Some(Finding::failure(COVERAGE, Exit::UnitsFailed, message).remedy(see));
    }
    let gaps: Vec<String> = unit
        .gaps
        .iter()
        .filter(|gap| gap.is_loss)
        .map(|gap| format!("{}: {}", gap.what, gap.detail))
        .collect();
    if gaps.is_empty() {
        return None;
    }
    let mut told = gaps
        .iter()
        .take(TOLD)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if gaps.len() > TOLD {
        told.push_str("; …");
    }
    let message = format!(
        "unit `{}`: {} not covered: {told}",
        unit.name,
        text::count(gaps.len(), "source")
    );
    Some(Finding::warning(COVERAGE, message).remedy(see))
}
