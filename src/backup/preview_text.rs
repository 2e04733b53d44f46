//! What a backup would do, for people.

use super::preview::{Preview, Stop, UnitPreview, preview};
use crate::base::text;
use crate::context::Context;
use crate::discovery::OrphanVolume;
use crate::error::{Exit, Failure, Result};
use crate::model::{UnitKind, UnitName};
use crate::ui::table;

/// Says what a backup of `units`, or of all of them, would do. The exit code is the one that is certain for a backup already.
pub async fn show(cx: &Context, units: &[UnitName]) -> Result<u8> {
    cx.require_root("dry-run")?;
    let previewed = tokio::select! {
        biased;
        () = cx.shutdown.asked() => {
            return Err(Failure::new(cx.shutdown.exit(), "a signal ended it; nothing was changed").into());
        }
        previewed = preview(cx, units) => previewed?,
    };
    let plan = &previewed.preview;
    if cx.ui.json {
        cx.ui.answer_json(plan);
    } else {
        cx.ui.answer(plan_text(plan));
        for warning in &plan.warnings {
            cx.ui.warn(warning);
        }
    }
    match previewed.obstacle {
        Some(error) => Err(error.context("no backup could be made now")),
        None if plan.units.iter().any(|unit| unit.blocker.is_some()) => {
            Ok(Exit::UnitsFailed.code())
        }
        None => Ok(0),
    }
}

fn plan_text(plan: &Preview) -> String {
    let mut lines = Vec::new();
    for unit in &plan.units {
        lines.extend(unit_lines(unit));
        lines.push(String::new());
    }
    for left in &plan.left_out {
        lines.push(format!(
            "Unit `{}` is left out: {}",
            left.unit,
            text::printable(&left.reason)
        ));
    }
    lines.push(total(plan));
    lines.extend(orphan_lines(&plan.orphan_volumes));
    lines.join("\n")
}

fn unit_lines(unit: &UnitPreview) -> Vec<String> {
    let kind = match unit.kind {
        UnitKind::Stack => "stack",
        UnitKind::Standalone => "standalone",
    };
    let mut lines = vec![format!("Unit `{}` ({kind})", unit.unit)];
    if let Some(blocker) = &unit.blocker {
        lines.push(format!("  FAILS: {blocker}"));
    }
    let steps = unit.stops.iter().map(|level| names(level));
    let steps = steps.collect::<Vec<_>>().join(", then ");
    if steps.is_empty() {
        lines.push("  Stopped: nothing".to_owned());
    } else {
        lines.push(format!("  Stopped: {steps}; started in the reverse order"));
        lines.push(format!("  Down for: {}", downtime(unit)));
    }
    if unit.is_left_up {
        lines
            .push("  LEFT UP, and not saved: that is longer than `backup.max_downtime`".to_owned());
    }
    for container in &unit.tolerated {
        lines.push(format!(
            "  Keeps writing: container `{}`: {}",
            container.name, container.reason
        ));
    }
    lines.extend(unit.hooks.iter().map(|hook| format!("  Hook: {hook}")));
    let doubts = unit.sources.iter().flat_map(|source| {
        let key = &source.source.key;
        source
            .doubts
            .iter()
            .map(move |doubt| format!("  Not cold: {key}: {doubt}"))
    });
    lines.extend(doubts);
    let losses = unit.gaps.iter().filter(|gap| gap.is_loss);
    lines.extend(losses.map(|gap| format!("  Not saved: {}: {}", gap.what, gap.detail)));
    let unmissed = unit.gaps.iter().filter(|gap| !gap.is_loss);
    lines.extend(unmissed.map(|gap| format!("  Left out: {}: {}", gap.what, gap.detail)));
    lines.extend(
        unit.warnings
            .iter()
            .map(|warning| format!("  note: {warning}")),
    );
    let mut lines: Vec<String> = lines.iter().map(|line| text::printable(line)).collect();
    if !unit.sources.is_empty() {
        let rows = unit.sources.iter().map(|source| {
            [
                format!("  {}", source.source.key),
                source.source.path.display().to_string(),
                known(source.estimated_bytes),
                known(source.before_bytes.or(Some(0))),
                known(source.window_bytes),
            ]
        });
        let titles = [
            "  DATA",
            "READ FROM",
            "SIZE",
            "READ BEFORE",
            "IN THE WINDOW",
        ];
        lines.push(table::table(titles, &[2, 3, 4], rows));
    }
    lines
}

fn known(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), text::bytes)
}

fn names(level: &[Stop]) -> String {
    let names = level.iter().map(|stop| {
        if stop.is_shared {
            format!("{} (of another unit)", stop.container)
        } else {
            stop.container.clone()
        }
    });
    names.collect::<Vec<_>>().join(" and ")
}

fn downtime(unit: &UnitPreview) -> String {
    match unit.estimated_downtime_seconds {
        Some(seconds) if unit.estimated_from_runs == 0 => format!(
            "about {} (no earlier run tells; by what there is to be read)",
            text::seconds(seconds.round())
        ),
        Some(seconds) => format!(
            "about {} (median of {})",
            text::seconds(seconds),
            text::count(unit.estimated_from_runs, "earlier run")
        ),
        None => "not known yet".to_owned(),
    }
}

fn total(plan: &Preview) -> String {
    let sources = plan.units.iter().map(|unit| unit.sources.len()).sum();
    let bytes = plan.units.iter().map(|unit| unit.estimated_bytes).sum();
    format!(
        "{}, {}, {}. What is read is at least that: services may change more until then. Nothing was changed.",
        text::count(plan.units.len(), "unit"),
        text::count(sources, "source"),
        text::bytes(bytes)
    )
}

/// Volumes that belong to no unit.
pub fn orphan_lines(orphans: &[OrphanVolume]) -> Vec<String> {
    if orphans.is_empty() {
        return Vec::new();
    }
    let named: Vec<&str> = orphans
        .iter()
        .filter(|volume| !volume.is_anonymous)
        .map(|volume| volume.name.as_str())
        .collect();
    let anonymous = orphans.len() - named.len();
    let mut lines = vec![
        String::new(),
        format!(
            "In no backup, since no container uses them: {}",
            text::count(orphans.len(), "volume")
        ),
    ];
    lines.extend(named.iter().map(|name| format!("  `{name}`")));
    if anonymous > 0 {
        lines.push(format!(
            "  {} without a name",
            text::count(anonymous, "volume")
        ));
    }
    lines
}
