//! What earlier runs tell of the next one: how long units were down, and for what. A guess, and no more: a report may be gone.

use std::path::Path;

use super::past::Reports;
use crate::model::report::{RunReport, SourceReport, UnitReport};
use crate::model::{SourceKey, UnitName};

/// How many runs are looked at, at most.
const RUNS: usize = 50;
/// How many of a unit's own are enough.
const SAMPLES: usize = 5;
/// What is read in a moment tells nothing of the disk.
const ENOUGH_TO_MEASURE: u64 = 16 << 20;
/// The step in which data is read; the others of a window cost what they cost whatever there is to be read.
const READING: &str = "read";

/// The last runs, newest first.
#[derive(Debug, Default)]
pub struct History {
    runs: Vec<RunReport>,
}

/// A median, and how many runs it is from.
pub type Sampled = (f64, usize);

impl History {
    /// Reports that cannot be read tell nothing. Blocks.
    pub fn load(folder: &Path) -> Self {
        let reports = Reports::newest_first(folder).into_iter().flatten();
        let runs = reports.take(RUNS).filter_map(|(_, report)| report.ok());
        Self {
            runs: runs.collect(),
        }
    }

    /// The seconds that `unit` was down in the last runs in which it was stopped and saved well.
    pub fn downtime(&self, unit: &UnitName) -> Option<Sampled> {
        self.sample(unit, |of| Some(of.downtime_seconds))
    }

    /// As [`Self::downtime`], but for the reading: what it takes to stop, prove and start.
    pub fn besides_reading(&self, unit: &UnitName) -> Option<Sampled> {
        self.sample(unit, |of| {
            let reading = of.steps.iter().find(|step| step.step == READING)?;
            Some((of.downtime_seconds - reading.seconds).max(0.0))
        })
    }

    fn sample(
        &self,
        unit: &UnitName,
        seconds: impl Fn(&UnitReport) -> Option<f64>,
    ) -> Option<Sampled> {
        let mut seconds: Vec<f64> = self
            .of(unit)
            .filter(|of| of.is_good() && of.downtime_seconds > 0.0)
            .filter_map(seconds)
            .take(SAMPLES)
            .collect();
        seconds.sort_by(f64::total_cmp);
        let upper = seconds.get(seconds.len() / 2)?;
        let lower = seconds.get((seconds.len() - 1) / 2)?;
        Some((f64::midpoint(*lower, *upper), seconds.len()))
    }

    /// Bytes a second at which `source` of `unit` was read last.
    pub fn rate(&self, unit: &UnitName, source: &SourceKey) -> Option<u64> {
        let mut reads = self.of(unit).flat_map(|of| &of.sources);
        reads.find_map(|read| (read.key == *source).then(|| rate(read)).flatten())
    }

    fn of(&self, unit: &UnitName) -> impl Iterator<Item = &UnitReport> {
        let units = self.runs.iter().flat_map(|run| &run.units);
        units.filter(move |of| of.unit == *unit)
    }
}

fn rate(read: &SourceReport) -> Option<u64> {
    let milliseconds = std::time::Duration::try_from_secs_f64(read.read_seconds).ok()?;
    let milliseconds = u64::try_from(milliseconds.as_millis()).ok()?.max(1);
    let is_enough = read.window_bytes >= ENOUGH_TO_MEASURE;
    is_enough.then(|| read.window_bytes.saturating_mul(1000) / milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(folder: &Path, day: u32, unit: &str, outcome: &str, (down, read): (f64, f64)) {
        let id = format!("2025-01-{day:02}T00-00-00Z");
        let at = "2025-01-01T00:00:00Z";
        let report = json!({
            "format": 1, "kopi_docka_version": "0", "backup_id": id, "started_at": at, "finished_at": at,
            "exit_code": 0, "interrupted": null,
            "units": [{
                "unit": unit, "outcome": outcome, "grade": "ok", "downtime_seconds": down,
                "steps": [{"step": "read", "in_window": true, "started_at": at, "seconds": read}],
                "sources": [{
                    "type": "volume", "name": "data", "grade": "ok", "reasons": [], "bytes": 0, "window_bytes": 100_000_000,
                    "read_seconds": read, "error": null,
                }],
                "gaps": [], "warnings": [], "errors": [], "still_stopped": [],
            }],
        });
        std::fs::write(folder.join(format!("{id}.json")), report.to_string()).unwrap();
    }

    #[test]
    fn the_last_good_runs_tell_how_long_a_unit_is_down_and_for_what() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let [web, db] = ["web", "db"].map(|name| UnitName::parse(name).unwrap());
        assert_eq!(History::load(path).downtime(&web), None);
        write(path, 1, "web", "saved", (1000.0, 900.0));
        for (day, seconds) in (2..).zip([9.0, 2.0, 4.0, 3.0, 5.0]) {
            write(path, day, "web", "saved", (seconds, seconds - 1.5));
        }
        write(path, 7, "web", "failed", (500.0, 1.0));
        write(path, 8, "db", "saved", (7.0, 0.5));
        write(path, 9, "db", "saved", (8.0, 0.5));
        let known = History::load(path);
        assert_eq!(known.downtime(&web), Some((4.0, 5)));
        assert_eq!(known.downtime(&db), Some((7.5, 2)));
        assert_eq!(known.besides_reading(&web), Some((1.5, 5)));
        let data = SourceKey::Volume {
            name: "data".to_owned(),
        };
        assert_eq!(known.rate(&db, &data), Some(200_000_000));
        let other = SourceKey::Volume {
            name: "other".to_owned(),
        };
        assert_eq!(known.rate(&db, &other), None);
    }
}
