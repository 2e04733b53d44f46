//! The reports of earlier runs on the disk: where they are, and reading them. The directory holds other files too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};

use crate::base::files;
use crate::config::Config;
use crate::error::Result;
use crate::model::report::{Outcome, RunReport, UnitReport};
use crate::model::{BackupId, UnitName};

/// `<backup.base_path>/metadata`.
pub fn folder(config: &Config) -> PathBuf {
    config.backup.base_path.join("metadata")
}

pub fn path(config: &Config, id: BackupId) -> PathBuf {
    folder(config).join(format!("{id}.json"))
}

/// The report files in a directory, the newest first. One is read when it is come to, so a caller that wants the last few
/// does not pay for years of them.
pub struct Reports {
    files: std::vec::IntoIter<PathBuf>,
}

impl Reports {
    /// No directory is an empty one.
    pub fn newest_first(folder: &Path) -> Result<Self> {
        let mut named: Vec<(BackupId, PathBuf)> = Vec::new();
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", folder.display()));
            }
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            let id = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json"))
                .and_then(|id| BackupId::parse(id).ok());
            named.extend(id.map(|id| (id, path)));
        }
        named.sort_unstable_by(|a, b| b.cmp(a));
        let files: Vec<PathBuf> = named.into_iter().map(|(_, path)| path).collect();
        Ok(Self {
            files: files.into_iter(),
        })
    }
}

impl Iterator for Reports {
    /// A file, and what is in it.
    type Item = (PathBuf, Result<RunReport>);

    fn next(&mut self) -> Option<Self::Item> {
        let path = self.files.next()?;
        let report = std::fs::read(&path)
            .map_err(anyhow::Error::from)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        Some((path, report))
    }
}

/// The newest so many reports always stay.
const KEPT: usize = 400;
/// Older ones stay for so long,
const KEPT_FOR: TimeDelta = TimeDelta::days(400);
/// unless all that are newer hold so much already: hourly runs of hundreds of units.
const KEPT_BYTES: u64 = 256 << 20;

/// Removes the reports that are too old, so that the directory does not grow for ever. When each unit was saved well last is kept in
/// [`LAST_GOOD`], whatever goes. `newest` is the run that has just ended.
pub fn prune(folder: &Path, newest: &RunReport, now: DateTime<Utc>) -> Result<()> {
    note_good(folder, newest)?;
    let mut held: u64 = 0;
    for (index, path) in Reports::newest_first(folder)?.files.enumerate() {
        held += std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let id = path
            .file_stem()
            .and_then(|name| BackupId::parse(name.to_str()?).ok());
        let is_young = id.is_some_and(|id| now - id.time() < KEPT_FOR);
        if index >= KEPT && !(is_young && held <= KEPT_BYTES) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

/// Beside the reports, and no `.json`: programs read all of those as reports.
const LAST_GOOD: &str = "last-good";

type LastGood = BTreeMap<UnitName, DateTime<Utc>>;

fn note_good(folder: &Path, newest: &RunReport) -> Result<()> {
    let path = folder.join(LAST_GOOD);
    let mut good = match read_last_good(folder) {
        Some(known) => known,
        // The reports of runs before there was such a file.
        None => {
            let before = LastRuns::load(folder, None)?;
            let good_at = |(unit, last): (UnitName, Last)| Some((unit, last.good_at?));
            before.units.into_iter().filter_map(good_at).collect()
        }
    };
    for unit in newest.units.iter().filter(|unit| unit.is_good()) {
        good.insert(unit.unit.clone(), newest.finished_at);
    }
    files::write(&path, &serde_json::to_vec_pretty(&good)?)
}

fn read_last_good(folder: &Path) -> Option<LastGood> {
    serde_json::from_slice(&std::fs::read(folder.join(LAST_GOOD)).ok()?).ok()
}

/// The last run of a unit, as far as reports tell.
#[derive(Clone, Debug)]
pub struct Last {
    /// When the run that tried it last ended.
    pub at: DateTime<Utc>,
    pub report: UnitReport,
    /// When the last run that saved it well ended.
    pub good_at: Option<DateTime<Utc>>,
    /// How many restore points retention left.
    pub points: Option<usize>,
}

/// The last run of each unit.
#[derive(Debug, Default)]
pub struct LastRuns {
    units: BTreeMap<UnitName, Last>,
}

impl LastRuns {
    /// Goes back until everything about `wanted` is known, but not for ever; without names through the same number of runs.
    /// Reports that cannot be read tell nothing.
    pub fn load(folder: &Path, wanted: Option<&[UnitName]>) -> Result<Self> {
        let mut last = Self::default();
        last.go_back(folder, wanted)?;
        Ok(last)
    }

    /// As [`LastRuns::load`], from what is known already.
    pub fn go_back(&mut self, folder: &Path, wanted: Option<&[UnitName]>) -> Result<()> {
        for (_, report) in Reports::newest_first(folder)?.take(LOOKED_AT) {
            let is_known = |unit| self.of(unit).is_some_and(|last| last.good_at.is_some());
            if wanted.is_some_and(|wanted| wanted.iter().all(is_known)) {
                break;
            }
            if let Ok(report) = report {
                self.add_older(report);
            }
        }
        let good = read_last_good(folder).unwrap_or_default();
        for (unit, last) in &mut self.units {
            last.good_at = last.good_at.or_else(|| good.get(unit).copied());
        }
        Ok(())
    }

    /// A run that is older than those before.
    pub fn add_older(&mut self, run: RunReport) {
        let at = run.finished_at;
        let kept: BTreeMap<&UnitName, usize> = run
            .retention
            .iter()
            .flat_map(|retention| &retention.units)
            .map(|unit| (&unit.unit, unit.kept))
            .collect();
        for report in run.units {
            // One that a signal came before was not tried; one that was left up on purpose was.
            if report.outcome == Outcome::Skipped && report.errors.is_empty() {
                continue;
            }
            let good_at = report.is_good().then_some(at);
            let points = kept.get(&report.unit).copied();
            let last = self
                .units
                .entry(report.unit.clone())
                .or_insert_with(|| Last {
                    at,
                    report,
                    good_at: None,
                    points: None,
                });
            last.good_at = last.good_at.or(good_at);
            last.points = last.points.or(points);
        }
    }

    pub fn of(&self, unit: &UnitName) -> Option<&Last> {
        self.units.get(unit)
    }

    pub fn units(&self) -> impl Iterator<Item = &UnitName> {
        self.units.keys()
    }
}

/// How many runs are gone back for the last one of a unit: as many as are always kept.
const LOOKED_AT: usize = KEPT;
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(folder: &Path, id: &str, unit: &str, outcome: &str, downtime: f64) {
        let report = json!({
            "format": 1, "kopi_docka_version": "0", "backup_id": id,
            "started_at": "2025-01-01T00:00:00Z", "finished_at": "2025-01-01T00:00:00Z",
            "exit_code": 0, "interrupted": null,
            "units": [{
                "unit": unit, "outcome": outcome, "grade": "ok", "downtime_seconds": downtime, "steps": [],
                "sources": [], "gaps": [], "warnings": [], "errors": [], "still_stopped": [],
            }],
        });
        std::fs::write(folder.join(format!("{id}.json")), report.to_string()).unwrap();
    }

    #[test]
    fn reports_come_newest_first_and_nothing_else_in_the_folder_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for id in ["2025-01-02T00-00-00Z", "2025-01-10T00-00-00Z"] {
            write(path, id, "web", "saved", 1.0);
        }
        std::fs::write(path.join("2025-01-05T00-00-00Z.json"), "{").unwrap();
        std::fs::write(path.join("docker-run-web.sh"), "docker run").unwrap();
        std::fs::write(path.join("backup_20240101.json"), "{}").unwrap();
        let read: Vec<(String, bool)> = Reports::newest_first(path)
            .unwrap()
            .map(|(path, report)| {
                (
                    path.file_stem().unwrap().display().to_string(),
                    report.is_ok(),
                )
            })
            .collect();
        let expected = [
            ("2025-01-10T00-00-00Z", true),
            ("2025-01-05T00-00-00Z", false),
            ("2025-01-02T00-00-00Z", true),
        ];
        assert_eq!(read, expected.map(|(id, ok)| (id.to_owned(), ok)));
        assert!(
            Reports::newest_first(&path.join("none"))
                .unwrap()
                .next()
                .is_none()
        );
    }

    #[test]
    fn a_unit_that_fails_keeps_the_time_of_its_last_good_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let [web, db] = ["web", "db"].map(|name| UnitName::parse(name).unwrap());
        write(path, "2025-01-01T00-00-00Z", "web", "saved", 1.0);
        write(path, "2025-01-02T00-00-00Z", "web", "failed", 2.0);
        write(path, "2025-01-03T00-00-00Z", "web", "skipped", 0.0);
        std::fs::write(path.join("2025-01-04T00-00-00Z.json"), "{").unwrap();
        let known = LastRuns::load(path, Some(&[web.clone(), db.clone()])).unwrap();
        let last = known.of(&web).unwrap();
        assert_eq!(last.report.outcome, Outcome::Failed);
        assert!(last.good_at.is_some());
        assert!(known.of(&db).is_none());
        assert!(known.units().eq([&web]));
    }

    #[test]
    fn old_reports_go_and_the_last_good_run_stays_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let web = UnitName::parse("web").unwrap();
        let now: DateTime<Utc> = "2027-01-01T00:00:00Z".parse().unwrap();
        // A good one of long ago, then 450 that failed: half of the days before the limit, half after.
        let id = |days: i64| BackupId::at(now - TimeDelta::days(days)).to_string();
        write(path, &id(900), "web", "saved", 1.0);
        for days in 1..=450 {
            write(path, &id(days), "web", "failed", 1.0);
        }
        std::fs::write(path.join("docker-run-web.sh"), "docker run").unwrap();
        let bytes = std::fs::read(path.join(format!("{}.json", id(1)))).unwrap();
        let newest: RunReport = serde_json::from_slice(&bytes).unwrap();
        // It was good before there was a file to know it from.
        let good = json!({"web": now - TimeDelta::days(900)});
        std::fs::write(path.join(LAST_GOOD), good.to_string()).unwrap();

        prune(path, &newest, now).unwrap();
        let left = || Reports::newest_first(path).unwrap().files.len();
        assert_eq!(left(), 400);
        assert!(path.join("docker-run-web.sh").exists());
        let known = LastRuns::load(path, Some(std::slice::from_ref(&web))).unwrap();
        let last = known.of(&web).unwrap();
        assert_eq!(last.report.outcome, Outcome::Failed);
        assert_eq!(last.good_at, Some(now - TimeDelta::days(900)));
        // Years later the newest stay all the same.
        prune(path, &newest, now + TimeDelta::days(4000)).unwrap();
        assert_eq!(left(), 400);
    }
}
