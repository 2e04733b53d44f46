//! Turns a verify into what people or programs read.

use serde_json::json;

use super::report::{PointReport, PointResult, SourceResult, VerifyReport};
use crate::base::activity::Activity;
use crate::base::text;
use crate::error::render;
use crate::model::Identity;
use crate::model::point::SourceRecord;
use crate::points::point::Point;
use crate::ui::progress::{Progress, Track};
use crate::ui::{Ui, table};

/// What is shown while points are read.
pub struct Reporter {
    ui: Ui,
    progress: Progress,
    /// Whose points need no host beside their unit.
    identity: Identity,
}

impl Reporter {
    pub fn new(ui: &Ui, identity: Identity) -> Self {
        Self {
            ui: ui.clone(),
            progress: Progress::new(ui),
            identity,
        }
    }

    pub fn started(&self, points: &[&Point], percent: u8) {
        let names: Vec<_> = points
            .iter()
            .map(|point| {
                json!({"unit": point.unit, "backup_id": point.backup_id, "identity": point.identity})
            })
            .collect();
        self.ui.event(&json!({
            "event": "verify_started", "points": names, "files_percent": percent,
        }));
        let count = text::count(points.len(), "restore point");
        self.progress
            .headline(format!("reading {count} back"), false);
    }

    /// Shows the bytes of `source` until [`Reporter::finished`].
    pub fn track(&self, point: &Point, source: &SourceRecord) -> Activity {
        let moved = Activity::default();
        self.progress.track(Track {
            label: self.label(point, source),
            estimated_bytes: source.parts.iter().map(|part| part.bytes).sum(),
            read: moved.clone(),
            stored: moved.clone(),
        });
        moved
    }

    pub fn finished(&self, point: &Point, source: &SourceRecord) {
        self.progress.finished(&self.label(point, source));
    }

    /// A point is done.
    pub fn point(&self, report: &PointReport, failures: &[anyhow::Error]) {
        self.ui
            .event(&json!({"event": "point_verified", "point": report}));
        failures.iter().for_each(|failure| self.failure(failure));
        if report.result == PointResult::Deleted {
            self.progress.warn(&format!(
                "{} of `{}` was deleted while it was read: nothing is known of it",
                report.backup_id, report.unit
            ));
        }
    }

    pub fn failure(&self, failure: &anyhow::Error) {
        self.progress.error(&render(failure));
    }

    pub fn warn(&self, text: &str) {
        self.progress.warn(text);
    }

    fn label(&self, point: &Point, source: &SourceRecord) -> String {
        if point.identity == self.identity {
            format!("{}: {}", point.unit, source.key)
        } else {
            format!("{} of {}: {}", point.unit, point.identity, source.key)
        }
    }
}

/// What was found: which points, and what of them was not read.
pub fn report_text(report: &VerifyReport) -> String {
    let rows = report.points.iter().map(|point| {
        let good = point
            .sources
            .iter()
            .filter(|source| source.result == SourceResult::Good);
        [
            point.unit.to_string(),
            point.backup_id.to_string(),
            match point.result {
                PointResult::Good => "good",
                PointResult::Damaged => "DAMAGED",
                PointResult::Unread => "not read",
                PointResult::Deleted => "deleted meanwhile",
                PointResult::Unfinished => "not finished",
            }
            .to_owned(),
            format!("{} of {}", good.count(), point.sources.len()),
            format!(
                "{} of {}",
                text::bytes(point.read_bytes),
                text::bytes(point.bytes)
            ),
            format!("{} %", point.percent),
            point.identity.to_string(),
        ]
    });
    let mut lines = vec![table::table(
        [
            "UNIT",
            "BACKUP ID",
            "RESULT",
            "SOURCES",
            "READ",
            "",
            "MADE BY",
        ],
        &[3, 4, 5],
        rows,
    )];
    for point in &report.points {
        for source in &point.sources {
            let why = match source.result {
                SourceResult::Good => continue,
                SourceResult::NotChosen => "not chosen",
                SourceResult::Damaged => "damaged",
                SourceResult::Unread => "not read to its end",
            };
            lines.push(text::printable(&format!(
                "Not verified: {} of `{}`, {}: {why}",
                source.key,
                point.unit,
                text::bytes(source.bytes)
            )));
        }
    }
    lines.join("\n")
}
