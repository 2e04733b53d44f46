//! Turns the events of a run into what people or programs read.

use std::cell::RefCell;

use tracing::info;

use super::events::Event;
use crate::base::activity::Activity;
use crate::base::heartbeat;
use crate::base::text;
use crate::drivers::systemd::notify;
use crate::error;
use crate::logging;
use crate::model::UnitName;
use crate::model::report::{Outcome, RetentionReport, RunReport, UnitReport};
use crate::model::source::{Gap, SourceKey};
use crate::ui::progress::{Progress, Track};
use crate::ui::{Ui, table};

pub struct Reporter {
    ui: Ui,
    /// Gone when the run is over.
    progress: RefCell<Option<Progress>>,
    /// The unit that is down: what others do meanwhile is no news.
    down: RefCell<Option<UnitName>>,
}

impl Reporter {
    pub fn new(ui: &Ui) -> Self {
        Self {
            ui: ui.clone(),
            progress: RefCell::new(Some(Progress::new(ui))),
            down: RefCell::new(None),
        }
    }

    pub fn report(&self, event: &Event<'_>) {
        heartbeat::beat();
        self.ui.event(event);
        log(event);
        if let Event::UnitStarted { unit, number, of } = event {
            notify::status(&format!("Running backup: {unit} ({number}/{of})"));
        }
        if self.ui.json {
            match event {
                Event::UnitFinished { report } => messages(report).iter().for_each(Message::log),
                Event::RunFinished { report } => {
                    report
                        .warnings
                        .iter()
                        .for_each(|text| logging::note_warning(text));
                }
                _ => {}
            }
            return;
        }
        match event {
            Event::RunStarted { orphan_volumes, .. } if !orphan_volumes.is_empty() => {
                self.with(|progress| {
                    progress.say(&format!(
                        "Not saved, since no container uses them: {}",
                        list(
                            orphan_volumes
                                .iter()
                                .map(|volume| format!("volume `{}`", volume.name))
                        )
                    ));
                })
            }
            Event::RunStarted { .. } => {}
            Event::UnitStarted { unit, number, of } => {
                self.with(|progress| progress.headline(format!("{unit} ({number}/{of})"), false));
            }
            Event::Step {
                unit,
                step,
                in_window,
            } => {
                let mut down = self.down.borrow_mut();
                if down.as_ref().is_some_and(|down| down != *unit) {
                    return;
                }
                *down = in_window.then(|| (*unit).clone());
                self.with(|progress| {
                    progress.headline(format!("{unit}: {}", step.replace('_', " ")), *in_window)
                });
            }
            Event::UnitFinished { report } => self.with(|progress| {
                self.down.borrow_mut().take_if(|down| *down == report.unit);
                for message in messages(report) {
                    match message {
                        Message::Warning(text) => progress.warn(&text),
                        Message::Error(text) => progress.error(&text),
                    }
                }
            }),
            Event::RunFinished { report } => {
                for warning in &report.warnings {
                    self.with(|progress| progress.warn(warning));
                }
                if let Some(bundle) = &report.recovery_bundle {
                    for warning in &bundle.warnings {
                        self.with(|progress| progress.warn(warning));
                    }
                    for error in &bundle.errors {
                        let hints = bundle.hints.iter().map(|hint| format!("\nhint: {hint}"));
                        let hints: String = hints.collect();
                        self.with(|progress| progress.error(&format!("error: {error}{hints}")));
                    }
                }
                self.progress.take();
                if self.ui.answers_people() {
                    self.ui.answer(summary(report));
                }
            }
        }
    }

    /// What is done for all units together, when the last one is up.
    pub fn headline(&self, text: &str) {
        heartbeat::beat();
        notify::status(&format!("Running backup: {text}"));
        self.with(|progress| progress.headline(text.to_owned(), false));
    }

    /// Shows what is `read` and `stored` of `source` until [`Reporter::finished`].
    pub fn track(
        &self,
        source: &SourceKey,
        estimated_bytes: u64,
        (read, stored): (Activity, Activity),
    ) {
        self.with(|progress| {
            progress.track(Track {
                label: source.to_string(),
                estimated_bytes,
                read,
                stored,
            });
        });
    }

    pub fn finished(&self, source: &SourceKey) {
        self.with(|progress| progress.finished(&source.to_string()));
    }

    fn with(&self, show: impl FnOnce(&Progress)) {
        if let Some(progress) = &*self.progress.borrow() {
            show(progress);
        }
    }
}

/// What an operator has to know of a unit.
enum Message {
    Warning(String),
    Error(String),
}

impl Message {
    /// For the log file alone; what is shown is logged by showing it.
    fn log(&self) {
        match self {
            Self::Warning(text) => logging::note_warning(text),
            Self::Error(text) => logging::note_error(text),
        }
    }
}

/// What the log file tells of the run; times and steps come from the code that does the work.
fn log(event: &Event<'_>) {
    match event {
        Event::RunStarted { units, .. } => {
            info!(target: logging::FILE, "backs up {}", list(units.iter().map(ToString::to_string)));
        }
        Event::UnitStarted { .. } | Event::Step { .. } => {}
        Event::UnitFinished { report } => {
            for gap in report.gaps.iter().filter(|gap| !gap.is_loss) {
                info!(target: logging::FILE, "not saved: {}", gap_text(gap));
            }
            for source in &report.sources {
                let name = match &source.key {
                    SourceKey::Volume { name } => name.clone(),
                    SourceKey::Bind { path } => path.display().to_string(),
                };
                let grade = source.grade.map_or("lost", |grade| grade.as_str());
                info!(
                    target: logging::JOURNAL,
                    VOLUME = name.as_str(),
                    GRADE = grade,
                    BYTES = source.bytes,
                    "{} is {grade}: {}",
                    source.key,
                    text::bytes(source.bytes),
                );
            }
            info!(
                target: logging::FILE,
                RESULT = report.outcome.key(),
                "{}, grade {}: {}, {}, down for {}",
                report.outcome.as_str(),
                report.grade.map_or("-", |grade| grade.as_str()),
                text::count(report.sources.len(), "source"),
                text::bytes(report.sources.iter().map(|source| source.bytes).sum()),
                text::seconds(report.downtime_seconds),
            );
        }
        Event::RunFinished { report } => {
            let good = report.units.iter().filter(|unit| unit.is_good()).count();
            info!(
                target: logging::FILE,
                BACKUP_ID = %report.backup_id,
                RESULT = error::result(report.exit_code),
                EXIT_CODE = report.exit_code,
                "run {}: {good} of {} saved well",
                report.backup_id,
                text::count(report.units.len(), "unit"),
            );
        }
    }
}

fn messages(report: &UnitReport) -> Vec<Message> {
    let mut messages = Vec::new();
    for warning in &report.warnings {
        messages.push(Message::Warning(format!("`{}`: {warning}", report.unit)));
    }
    // A point that lacks something says so as an error.
    let unsaid = report.losses.is_empty();
    for gap in report.gaps.iter().filter(|gap| gap.is_loss && unsaid) {
        messages.push(Message::Warning(format!(
            "`{}`: not saved: {}",
            report.unit,
            gap_text(gap)
        )));
    }
    for source in &report.sources {
        for reason in &source.reasons {
            let grade = source.grade.map_or("lost", |grade| grade.as_str());
            messages.push(Message::Warning(format!(
                "`{}`: {} is {grade}: {reason}",
                report.unit, source.key
            )));
        }
    }
    if let [first, causes @ ..] = report.errors.as_slice() {
        let what = match report.outcome {
            Outcome::Saved => "was backed up, but",
            Outcome::SavedWithLoss => "was backed up in part",
            Outcome::Failed | Outcome::Skipped => "was not backed up",
        };
        let mut lines = format!("error: unit `{}` {what}: {first}\n", report.unit);
        // Where there is a point there is no chain of errors: each line is a thing of its own.
        let label = match report.outcome {
            Outcome::Saved | Outcome::SavedWithLoss => "and",
            Outcome::Failed | Outcome::Skipped => "caused by",
        };
        for cause in causes {
            lines.push_str(&format!("  {label}: {}\n", cause.replace('\n', "\n    ")));
        }
        if report.outcome == Outcome::SavedWithLoss {
            lines.push_str(&format!(
                "note: no restore point of `{}` is removed until it is saved whole again\n",
                report.unit
            ));
        }
        if !report.still_stopped.is_empty() {
            lines.push_str(&format!(
                "note: still stopped: {}\n",
                report.still_stopped.join(", ")
            ));
            lines.push_str(
                "hint: see `docker logs` of them, fix it, then run `kopi-docka recover`\n",
            );
        } else if report.downtime_seconds > 0.0 {
            lines.push_str(&format!(
                "note: every container of `{}` that ran is running again\n",
                report.unit
            ));
        }
        for hint in &report.hints {
            lines.push_str(&format!("hint: {hint}\n"));
        }
        messages.push(Message::Error(lines));
    }
    messages
}

pub fn gap_text(gap: &Gap) -> String {
    format!("{}: {}", gap.what, gap.detail)
}

fn summary(report: &RunReport) -> String {
    let rows = report.units.iter().map(|unit| {
        [
            unit.unit.to_string(),
            unit.outcome.as_str().to_owned(),
            unit.grade.map_or("-", |grade| grade.as_str()).to_owned(),
            text::count(unit.sources.len(), "source"),
            text::bytes(unit.sources.iter().map(|source| source.bytes).sum()),
            text::seconds(unit.downtime_seconds),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return format!("Nothing to back up. Run {}", report.backup_id);
    }
    let table = table::table(
        ["UNIT", "RESULT", "GRADE", "DATA", "SIZE", "DOWNTIME"],
        &[4, 5],
        rows,
    );
    let left_out = left_out(report);
    let removed = report
        .retention
        .as_ref()
        .map_or(0, RetentionReport::removed);
    let retention = match removed {
        0 => String::new(),
        count => format!(
            "\nRemoved: {}, as `retention` says",
            text::count(count, "old restore point")
        ),
    };
    format!(
        "{table}\n{left_out}\nBackup id: {}{retention}",
        report.backup_id
    )
}

/// Everything that is in no point of this run, with the reason; what was lost first.
fn left_out(report: &RunReport) -> String {
    let mut gaps: Vec<(&UnitName, &Gap)> = report
        .units
        .iter()
        .flat_map(|unit| unit.gaps.iter().map(|gap| (&unit.unit, gap)))
        .collect();
    gaps.sort_by_key(|(_, gap)| !gap.is_loss);
    if gaps.is_empty() {
        return String::new();
    }
    let mut lines = "\nNot saved:\n".to_owned();
    for (unit, gap) in gaps {
        let mark = if gap.is_loss { "LOST " } else { "" };
        lines.push_str(&format!("  {unit}: {mark}{}\n", gap_text(gap)));
    }
    lines
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
