//! What taking a restore back did.

use std::path::PathBuf;

use serde::Serialize;

use super::plan::Plan;
use crate::base::text;
use crate::context::Context;
use crate::model::report::StepTime;
use crate::model::{BackupId, UnitName};
use crate::restore::apply::report;
use crate::restore::apply::reporter::left_behind;
use crate::restore::apply::window::Window;
use crate::restore::events::Event;

/// Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Report {
    pub restore_id: BackupId,
    pub undoes: BackupId,
    pub unit: UnitName,
    pub targets: Vec<TargetReport>,
    pub downtime_seconds: f64,
    pub steps: Vec<StepTime>,
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
    pub still_stopped: Vec<String>,
    pub exit_code: u8,
}

#[derive(Debug, Serialize)]
pub struct TargetReport {
    pub what: String,
    pub target: PathBuf,
    pub safety_copy: Option<PathBuf>,
}

impl Report {
    pub fn of(plan: Plan, window: Window<'_>, kept: Vec<Option<PathBuf>>, cx: &Context) -> Self {
        let targets = plan.targets.into_iter().zip(kept);
        let (exit_code, errors) = window.verdict(&cx.shutdown);
        Self {
            restore_id: plan.restore_id,
            undoes: plan.undoes,
            unit: plan.unit,
            targets: targets
                .map(|(target, safety_copy)| TargetReport {
                    what: target.what,
                    target: target.target,
                    safety_copy,
                })
                .collect(),
            downtime_seconds: window.downtime_seconds,
            steps: window.timeline.into_steps(),
            warnings: window.warnings,
            errors,
            still_stopped: window
                .still_stopped
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            exit_code,
        }
    }

    pub fn show(&self, cx: &Context) {
        for warning in &self.warnings {
            cx.ui.warn(warning);
        }
        cx.ui.event(&Event::UndoFinished { report: self });
        if !cx.ui.json && !cx.ui.quiet {
            cx.ui.answer(self.text());
        }
        let copies = self.targets.iter();
        let copies = copies.filter_map(|target| target.safety_copy.as_deref());
        if let Some(said) = left_behind(copies) {
            cx.ui.warn(said);
        }
        for error in &self.errors {
            cx.ui.error(&format!("error: {error}"));
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("Put back {} in `{}`", target.what, target.target.display()))
            .collect();
        if self.downtime_seconds > 0.0 {
            lines.push(format!(
                "Downtime: {}",
                text::seconds(self.downtime_seconds)
            ));
        }
        if self
            .targets
            .iter()
            .any(|target| target.safety_copy.is_some())
        {
            lines.push(String::new());
            lines.push("What was restored is kept:".to_owned());
            lines.extend(report::advice(self.restore_id));
        }
        lines.join("\n")
    }
}
