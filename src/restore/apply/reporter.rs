//! Turns a plan, its progress and its report into what people or programs read.

use std::path::Path;

use super::report::{self, RestoreReport};
use super::step::Step;
use crate::base::activity::Activity;
use crate::base::text;
use crate::base::timeline::Step as _;
use crate::model::UnitName;
use crate::restore::events::Event;
use crate::restore::plan::decision::{Plan, SourcePlan};
use crate::restore::plan::files::FileAction;
use crate::restore::rebuild;
use crate::ui::progress::{Progress, Track};
use crate::ui::{Ui, table};

/// How many losses of a source are listed for people.
const SHOWN_LOSSES: usize = 200;

/// What is shown while a restore is at work.
pub struct Reporter {
    ui: Ui,
    progress: Progress,
}

impl Reporter {
    pub fn new(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            progress: Progress::new(ui),
        }
    }

    pub fn step(&self, unit: &UnitName, step: Step) {
        self.ui.event(&Event::Step {
            unit,
            step: step.name(),
            in_window: step.is_in_window(),
        });
        self.progress
            .headline(format!("{unit}: {}", step.words()), step.is_in_window());
    }

    /// Shows the bytes of `source` until [`Reporter::finished`].
    pub fn track(&self, source: &SourcePlan) -> Activity {
        let moved = Activity::default();
        self.progress.track(Track {
            label: source.swap.what.clone(),
            estimated_bytes: source.bytes,
            read: moved.clone(),
            stored: moved.clone(),
        });
        moved
    }

    pub fn finished(&self, source: &SourcePlan) {
        self.progress.finished(&source.swap.what);
    }

    pub fn warn(&self, text: &str) {
        self.progress.warn(text);
    }

    pub fn say(&self, text: &str) {
        self.progress.say(text);
    }

    /// Takes what is drawn away, so that a question can be asked.
    pub fn rest(&mut self) {
        let mut quiet = self.ui.clone();
        quiet.quiet = true;
        self.progress = Progress::new(&quiet);
    }

    pub fn resume(&mut self) {
        self.progress = Progress::new(&self.ui);
    }
}

/// What would be done.
pub fn plan_text(plan: &Plan) -> String {
    let mut lines = vec![format!(
        "Restore of `{}` from {} ({}, made by {})",
        plan.unit,
        plan.backup_id,
        plan.grade,
        plan.made_by.sign(&plan.identity)
    )];
    if !plan.sources.is_empty() {
        let rows = plan.sources.iter().map(|source| {
            let now = match (&source.kept, &source.new_volume) {
                (Some(_), _) if source.inside.is_some() => "replaced with what it lies in",
                (Some(_), _) if source.swap.within.is_some() => "replaced, kept inside it",
                (Some(_), _) => "replaced, kept beside it",
                (None, Some(_)) => "missing: the volume is made",
                (None, None) => "missing",
            };
            [
                source.swap.what.clone(),
                source.target.display().to_string(),
                text::bytes(source.bytes),
                now.to_owned(),
            ]
        });
        lines.push(String::new());
        lines.push(table::table(
            ["DATA", "TARGET", "SIZE", "WHAT IS THERE"],
            &[2],
            rows,
        ));
    }
    if !plan.left_out.is_empty() {
        lines.push(String::new());
        for left_out in &plan.left_out {
            lines.push(format!(
                "Not restored by itself: {}: {}",
                left_out.key, left_out.reason
            ));
        }
    }
    if !plan.powers.is_empty() {
        lines.push(String::new());
        for power in &plan.powers {
            lines.push(format!(
                "Has power over this host: `{}`: {} ({})",
                text::printable(&power.path.to_string_lossy()),
                power.why,
                power.consent.words()
            ));
        }
    }
    if !plan.files.is_empty() {
        let rows = plan.files.iter().map(|file| {
            let action = match file.action {
                FileAction::Leave => "left: it is the same",
                FileAction::PutBack => "put back",
                FileAction::Replace => "replaced, kept beside it",
            };
            [file.path.display().to_string(), action.to_owned()]
        });
        lines.push(String::new());
        lines.push(table::table(["FILE", ""], &[], rows));
    }
    lines.extend(rebuild::plan_lines(&plan.rebuild));
    lines.push(String::new());
    if plan.is_empty() {
        lines.push("Nothing to do.".to_owned());
    } else if plan.stops.is_empty() {
        lines.push("No container is stopped.".to_owned());
    } else {
        let names: Vec<&str> = plan.stops.iter().map(|entry| entry.name.as_str()).collect();
        lines.push(format!(
            "Stopped for a moment, when everything is extracted: {}",
            names.join(", ")
        ));
    }
    for space in &plan.space {
        lines.push(format!(
            "Free space in `{}`: {} needed, {} free",
            space.path.display(),
            text::bytes(space.needed_bytes),
            text::bytes(space.free_bytes)
        ));
    }
    lines.join("\n")
}

/// What was done.
pub fn report_text(report: &RestoreReport) -> String {
    let mut lines = Vec::new();
    for source in &report.sources {
        let size = if source.piece.paths.is_empty() {
            format!(" ({})", text::bytes(source.bytes))
        } else {
            String::new()
        };
        lines.push(format!(
            "Restored {}{size} in `{}`",
            source.what,
            source.target.display()
        ));
    }
    for file in &report.files {
        let what = match file.action {
            FileAction::Leave => continue,
            FileAction::PutBack => "Put back",
            FileAction::Replace => "Replaced",
        };
        lines.push(format!("{what} `{}`", file.path.display()));
    }
    for loss in &report.losses {
        lines.push(String::new());
        lines.push(format!("Lost of {}:", loss.what));
        let shown = loss.lost.iter().take(SHOWN_LOSSES);
        lines.extend(shown.map(|line| format!("  {}", text::printable(line))));
        if let more @ 1.. = loss.count.saturating_sub(SHOWN_LOSSES) {
            lines.push(format!("  and {more} more: all of them with `--json`"));
        }
    }
    if lines.is_empty() {
        lines.push("Nothing to restore: everything is as it was saved.".to_owned());
    }
    if report.downtime_seconds > 0.0 {
        lines.push(format!(
            "Downtime: {}",
            text::seconds(report.downtime_seconds)
        ));
    }
    let copies: Vec<String> = report
        .safety_copies()
        .map(|path| path.display().to_string())
        .collect();
    if !copies.is_empty() {
        lines.push(String::new());
        lines.push("What was there before is kept:".to_owned());
        lines.extend(copies.iter().map(|copy| format!("  `{copy}`")));
        lines.extend(report::advice(report.restore_id));
    }
    if !report.held.is_empty() {
        lines.push(format!(
            "Left down, since they are not those of the point: {}",
            report.held.join(", ")
        ));
    }
    if report.is_up {
        let name = report.project.as_ref().unwrap_or(&report.unit);
        lines.push(format!("`{name}` is started"));
    }
    if let Some(script) = &report.container_script {
        lines.push(format!(
            "How its container was made: `{}`",
            script.display()
        ));
    }
    if !report.next_steps.is_empty() {
        lines.push(String::new());
        lines.push("The unit is not started. Next:".to_owned());
        lines.extend(report.next_steps.iter().map(|step| format!("  {step}")));
    }
    lines.join("\n")
}

/// Said when the working directory of our caller was replaced: what is typed there happens in the safety copy.
pub fn left_behind<'a>(copies: impl IntoIterator<Item = &'a Path>) -> Option<String> {
    let here = std::env::current_dir().ok()?;
    let mut copies = copies.into_iter();
    copies.any(|copy| here.starts_with(copy)).then(|| {
        "This shell is in the directory that was replaced: `cd \"$PWD\"` takes it to the one that was restored.".to_owned()
    })
}
