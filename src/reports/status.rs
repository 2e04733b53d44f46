//! One look at everything: per unit its last point and its last runs, by the reports of this host alone.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::drills::Drills;
use super::past::Reports;
use crate::error::Result;
use crate::model::drill::DrillOutcome;
use crate::model::report::{Outcome, RunReport, UnitBytes, UnitReport};
use crate::model::{BackupId, Grade, UnitName};

/// How many runs of a unit are shown.
pub const RUNS: usize = 30;
/// How many reports are read for them: units may be backed up by runs of their own.
const READ: usize = 400;

#[derive(Debug, Default, Serialize)]
pub struct Status {
    /// `None` before the first one.
    pub last_run: Option<LastRun>,
    pub units: Vec<UnitStatus>,
    /// Reports that cannot be read.
    pub damaged: usize,
}

#[derive(Debug, Serialize)]
pub struct LastRun {
    pub backup_id: BackupId,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub exit_code: u8,
    pub interrupted: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct UnitStatus {
    pub unit: UnitName,
    /// The newest one; `None` where no report tells of one.
    pub point: Option<PointStatus>,
    /// Of its last run.
    pub outcome: Outcome,
    pub errors: Vec<String>,
    /// The last [`RUNS`], the oldest first.
    pub runs: Vec<UnitRun>,
    /// The last one.
    pub drill: Option<DrillStatus>,
}

#[derive(Debug, Serialize)]
pub struct PointStatus {
    pub backup_id: BackupId,
    pub made_at: DateTime<Utc>,
    pub grade: Grade,
}

#[derive(Debug, Serialize)]
pub struct UnitRun {
    pub backup_id: BackupId,
    pub outcome: Outcome,
    pub downtime_seconds: f64,
    #[serde(flatten)]
    pub bytes: UnitBytes,
}

impl UnitRun {
    /// What was read and stored.
    pub fn stored_bytes(&self) -> u64 {
        let bytes = &self.bytes;
        bytes.window_bytes + bytes.before_bytes + bytes.after_bytes
    }
}

#[derive(Debug, Serialize)]
pub struct DrillStatus {
    pub at: DateTime<Utc>,
    pub outcome: DrillOutcome,
    pub recovery_seconds: Option<f64>,
}

impl Status {
    /// Blocks.
    pub fn load(folder: &Path, drills: &Drills) -> Result<Self> {
        let mut status = Self::default();
        for (_, report) in Reports::newest_first(folder)?.take(READ) {
            match report {
                Ok(report) => status.add(report, drills),
                Err(_) => status.damaged += 1,
            }
        }
        for unit in &mut status.units {
            unit.runs.reverse();
        }
        status.units.sort_by(|a, b| a.unit.cmp(&b.unit));
        Ok(status)
    }

    /// The next older one.
    fn add(&mut self, report: RunReport, drills: &Drills) {
        let RunReport {
            backup_id,
            finished_at,
            units,
            ..
        } = report;
        self.last_run.get_or_insert(LastRun {
            backup_id,
            started_at: report.started_at,
            finished_at,
            exit_code: report.exit_code,
            interrupted: report.interrupted,
        });
        for unit in units {
            let known = self.units.iter().position(|known| known.unit == unit.unit);
            let at = known.unwrap_or_else(|| {
                self.units.push(UnitStatus::of(&unit, drills));
                self.units.len() - 1
            });
            if let Some(known) = self.units.get_mut(at) {
                known.add(&unit, (backup_id, finished_at));
            }
        }
    }
}

impl UnitStatus {
    fn of(unit: &UnitReport, drills: &Drills) -> Self {
        let drill = drills.last(&unit.unit).map(|drill| DrillStatus {
            at: drill.started_at,
            outcome: drill.outcome,
            recovery_seconds: drill.recovery_seconds,
        });
        Self {
            unit: unit.unit.clone(),
            point: None,
            outcome: unit.outcome,
            errors: unit.errors.clone(),
            runs: Vec::new(),
            drill,
        }
    }

    fn add(&mut self, unit: &UnitReport, (backup_id, made_at): (BackupId, DateTime<Utc>)) {
        if let (None, Some(grade)) = (&self.point, unit.grade) {
            self.point = Some(PointStatus {
                backup_id,
                made_at,
                grade,
            });
        }
        if self.runs.len() < RUNS {
            self.runs.push(UnitRun {
                backup_id,
                outcome: unit.outcome,
                downtime_seconds: unit.downtime_seconds,
                bytes: unit.bytes(),
            });
        }
    }
}
