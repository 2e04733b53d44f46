//! What the drills of this host came to, in one file of the state directory. Without it a unit counts as never drilled.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::error::Result;
use crate::model::UnitName;
use crate::model::drill::{DrillOutcome, DrillReport};
use crate::points::point::Point;

const FORMAT: u32 = 1;
/// Of each unit; its last good one stays besides.
const KEPT: usize = 5;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drills {
    format: u32,
    /// The newest first.
    drills: Vec<DrillReport>,
}

impl Drills {
    /// No file, or one that nothing can be made of, is an empty one.
    pub fn load(path: &Path) -> Self {
        let read = std::fs::read(path).ok();
        let known = read.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        known
            .filter(|known| known.format == FORMAT)
            .unwrap_or_default()
    }

    /// Adds `report`, and writes the file.
    pub fn remember(path: &Path, report: &DrillReport) -> Result<Self> {
        let mut known = Self::load(path);
        known.add(report.clone());
        files::write(path, &serde_json::to_vec_pretty(&known)?)?;
        Ok(known)
    }

    fn add(&mut self, report: DrillReport) {
        self.format = FORMAT;
        let unit = report.unit.clone();
        self.drills.insert(0, report);
        let mut seen = 0;
        let mut has_good = false;
        self.drills.retain(|known| {
            if known.unit != unit {
                return true;
            }
            seen += 1;
            let is_last_good = !has_good && known.is_good();
            has_good |= known.is_good();
            seen <= KEPT || is_last_good
        });
    }

    fn of(&self, unit: &UnitName) -> impl Iterator<Item = &DrillReport> {
        let unit = unit.clone();
        self.drills.iter().filter(move |known| known.unit == unit)
    }

    pub fn last(&self, unit: &UnitName) -> Option<&DrillReport> {
        self.of(unit).next()
    }

    /// A partial one is as good as it can be.
    pub fn last_good(&self, unit: &UnitName) -> Option<&DrillReport> {
        self.of(unit).find(|known| known.is_good())
    }

    /// The last one of `point` in the repository with this unique id.
    pub fn of_point(&self, point: &Point, repository: &str) -> Option<&DrillReport> {
        self.drills.iter().find(|known| {
            known.repository == repository
                && known.identity == point.identity
                && known.machine == point.machine
                && known.unit == point.unit
                && known.backup_id == point.backup_id
        })
    }

    /// When the last one of all began.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.drills.iter().map(|known| known.started_at).max()
    }

    /// Of each unit the last one.
    pub fn lasts(&self) -> Vec<&DrillReport> {
        let mut lasts: Vec<&DrillReport> = Vec::new();
        for known in &self.drills {
            if !lasts.iter().any(|last| last.unit == known.unit) {
                lasts.push(known);
            }
        }
        lasts.sort_by(|a, b| a.unit.cmp(&b.unit));
        lasts
    }
}

impl DrillReport {
    pub fn is_good(&self) -> bool {
        self.outcome != DrillOutcome::NotGood
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn report(unit: &str, id: &str, outcome: &str, at: &str) -> DrillReport {
        serde_json::from_value(serde_json::json!({
            "id": id, "project": format!("{unit}-drill-{id}"), "unit": unit, "backup_id": "2026-01-02T03-04-05Z",
            "point_time": at, "identity": "kopi-docka@h", "repository": "r", "started_at": at, "finished_at": at,
            "outcome": outcome, "exit_code": 0, "bytes": 1, "restore_seconds": 1.0, "start_seconds": 1.0,
            "healthy_seconds": 1.0, "recovery_seconds": 3.0, "services": [], "probes": [], "left_out": [], "dropped": [],
            "warnings": [], "errors": [], "is_kept": false,
        }))
        .unwrap()
    }

    #[test]
    fn the_last_few_of_each_unit_stay_and_its_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("drills.json");
        let (web, db) = (
            UnitName::parse("web").unwrap(),
            UnitName::parse("db").unwrap(),
        );
        let add = |unit: &str, id: &str, outcome: &str| {
            let at = format!("2026-01-0{id}T00:00:00Z");
            Drills::remember(&path, &report(unit, id, outcome, &at)).unwrap()
        };
        add("db", "1", "partial");
        add("web", "1", "good");
        for id in ["2", "3", "4", "5", "6", "7"] {
            add("web", id, "not_good");
        }
        let known = Drills::load(&path);
        assert_eq!(known.of(&web).count(), KEPT + 1);
        assert_eq!(known.last(&web).unwrap().id, "7");
        assert_eq!(known.last_good(&web).unwrap().id, "1");
        assert_eq!(known.last_good(&db).unwrap().id, "1");
        assert_eq!(known.lasts().len(), 2);
        assert_eq!(add("web", "8", "good").of(&web).count(), KEPT);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Drills::load(&path), Drills::default());
    }
}
