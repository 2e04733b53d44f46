//! A drill for people.

use crate::base::text::{self, printable};
use crate::model::drill::{DrillOutcome, DrillReport, ServiceState};
use crate::ui::table;

/// All of it; ends without a line break.
pub fn report_text(report: &DrillReport) -> String {
    let mut lines = vec![format!(
        "Drill of `{}`, restore point {}: {}",
        report.unit, report.backup_id, report.outcome
    )];
    if let Some(recovery) = report.recovery_seconds {
        let part = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), text::seconds);
        lines.push(format!(
            "Time to recover: {} (restore of {} {}, start {}, healthy {})",
            text::seconds(recovery),
            text::bytes(report.bytes),
            part(report.restore_seconds),
            part(report.start_seconds),
            part(report.healthy_seconds)
        ));
    }
    if !report.services.is_empty() {
        let rows = report.services.iter().map(|service| {
            let state = match service.state {
                ServiceState::Healthy => "healthy",
                ServiceState::Running => "running",
                ServiceState::Done => "done",
                ServiceState::Failed => "FAILED",
                ServiceState::NotReady => "NOT READY",
            };
            [
                printable(&service.name),
                state.to_owned(),
                service
                    .seconds
                    .map_or_else(|| "-".to_owned(), text::seconds),
                service.restarts.to_string(),
            ]
        });
        lines.push(table::table(
            ["SERVICE", "STATE", "AFTER", "RESTARTS"],
            &[2, 3],
            rows,
        ));
    }
    for probe in &report.probes {
        let result = if probe.is_good {
            "exits with 0"
        } else {
            "FAILED"
        };
        let command = printable(&shell_words::join(&probe.exec));
        lines.push(format!(
            "Probe `{command}` in `{}`: {result}",
            printable(&probe.service)
        ));
    }
    for left in &report.left_out {
        lines.push(format!(
            "Left out: `{}`, {}",
            printable(&left.service),
            printable(&left.reason)
        ));
    }
    if !report.dropped.is_empty() {
        lines.push("The copy is without:".to_owned());
        lines.extend(
            report
                .dropped
                .iter()
                .map(|dropped| format!("  {}", printable(&dropped.to_string()))),
        );
    }
    for error in &report.errors {
        lines.push(format!("Not good: {}", printable(error)));
    }
    for service in report
        .services
        .iter()
        .filter(|service| !service.log.is_empty())
    {
        lines.push(format!("The last lines of `{}`:", printable(&service.name)));
        lines.extend(service.log.iter().map(|line| format!("  {line}")));
    }
    if report.is_kept {
        lines.push(format!(
            "The copy is kept (project `{}`): `kopi-docka drill --remove {}` removes it",
            report.project, report.id
        ));
    }
    lines.join("\n")
}

/// What a monitor or a log gets of it.
pub fn sentence(report: &DrillReport) -> String {
    match (report.outcome, report.recovery_seconds) {
        (DrillOutcome::NotGood, _) | (_, None) => {
            let why = report
                .errors
                .first()
                .map_or_else(String::new, |error| format!(": {error}"));
            format!("the drill of `{}` was {}{why}", report.unit, report.outcome)
        }
        (outcome, Some(seconds)) => format!(
            "the drill of `{}` was {outcome}, recovered in {}",
            report.unit,
            text::seconds(seconds)
        ),
    }
}
