//! The stop record: written before the first stop, removed when everything that it names runs again.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::error::Result;
use crate::model::unit::Dependency;
use crate::model::{Container, UnitName};

const FORMAT: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StopRecord {
    pub format: u32,
    /// The run's backup id, or the restore's.
    pub run: String,
    pub unit: UnitName,
    /// Where the engine is that the containers belong to.
    pub socket: PathBuf,
    pub written_at: DateTime<Utc>,
    /// The boot that it was written in: no stop outlives one.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// Seconds since that boot.
    #[serde(default)]
    pub uptime_seconds: Option<i64>,
    /// How long a start may take to get healthy.
    pub start_timeout_seconds: u64,
    /// In any order; [`Entry::level`] says which come first.
    pub entries: Vec<Entry>,
}

/// A container that runs and that we are about to stop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    pub name: String,
    pub project: Option<String>,
    pub service: Option<String>,
    pub number: Option<u32>,
    /// Started from level 0 up, stopped from the highest down.
    pub level: usize,
    pub dependencies: Vec<Dependency>,
    pub has_healthcheck: bool,
    /// What Docker is told to wait before it kills.
    pub grace_seconds: i64,
    /// When the stop was asked. Docker goes on with an accepted stop without us.
    pub asked_at: Option<DateTime<Utc>>,
}

impl Entry {
    /// Longest patience with a container that wants to be waited for without end.
    const UNLIMITED_GRACE_SECONDS: i64 = 3600;

    pub fn new(container: &Container, level: usize, stop_timeout_seconds: i64) -> Self {
        let grace_seconds = match container.stop_timeout_seconds {
            Some(own) if own < 0 => Self::UNLIMITED_GRACE_SECONDS,
            Some(own) => own.max(stop_timeout_seconds),
            None => stop_timeout_seconds,
        };
        Self {
            id: container.id.clone(),
            name: container.name.clone(),
            project: container.project.clone(),
            service: container.service.clone(),
            number: container.number,
            level,
            dependencies: container.dependencies.clone(),
            // A health that was bad before the stop is not waited for.
            has_healthcheck: container.has_healthcheck && !container.standing.is_unhealthy,
            grace_seconds,
            asked_at: None,
        }
    }
}

/// A record on the disk.
#[derive(Debug)]
pub struct RecordFile {
    path: PathBuf,
    pub record: StopRecord,
}

impl RecordFile {
    /// Writes the record; after this it survives a power cut.
    pub fn create(
        folder: &Path,
        run: &str,
        unit: &UnitName,
        socket: &Path,
        start_timeout_seconds: u64,
        entries: Vec<Entry>,
    ) -> Result<Self> {
        let file = Self {
            path: folder.join(format!("{run}-{unit}.json")),
            record: StopRecord {
                format: FORMAT,
                run: run.to_owned(),
                unit: unit.clone(),
                socket: socket.to_owned(),
                written_at: Utc::now(),
                boot_id: boot_id(),
                uptime_seconds: Some(uptime_seconds()),
                start_timeout_seconds,
                entries,
            },
        };
        file.save()?;
        Ok(file)
    }

    /// Notes that the stops of `level` are asked now, so that a replay knows of a stop that is under way. Services are down:
    /// the disk is not waited for.
    pub fn asked(&mut self, level: usize) -> Result<()> {
        let now = Utc::now();
        for entry in self
            .record
            .entries
            .iter_mut()
            .filter(|entry| entry.level == level)
        {
            entry.asked_at = Some(now);
        }
        self.save_soon()
    }

    /// Takes out those with these ids: others ended them, so they are not ours to start.
    pub fn forget(&mut self, ids: &[String]) -> Result<()> {
        self.record.entries.retain(|entry| !ids.contains(&entry.id));
        self.save_soon()
    }

    /// Takes out those with these ids for good: nothing is to start them. The record goes with the last of them.
    pub fn drop_for_good(&mut self, ids: &[&str]) -> Result<()> {
        let before = self.record.entries.len();
        self.record
            .entries
            .retain(|entry| !ids.contains(&entry.id.as_str()));
        if self.record.entries.is_empty() {
            return files::remove(&self.path);
        }
        if self.record.entries.len() == before {
            return Ok(());
        }
        files::write(&self.path, &self.content()?)
            .context("the record of what is stopped cannot be written")
    }

    fn save(&self) -> Result<()> {
        files::write(&self.path, &self.content()?).context(
            "the record of what is about to be stopped cannot be written, so nothing is stopped",
        )
    }

    fn save_soon(&self) -> Result<()> {
        files::write_soon(&self.path, &self.content()?)
            .context("the record of what is being stopped cannot be written")
    }

    fn content(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(&self.record)?)
    }

    /// Everything that it names runs again.
    pub fn clear(self) -> Result<()> {
        files::remove(&self.path)
    }

    /// The records that earlier runs left, the oldest first, and the files that are none.
    pub fn pending(folder: &Path) -> Result<(Vec<Self>, Vec<PathBuf>)> {
        let found = files::read_all(folder, |bytes| {
            let record: StopRecord = serde_json::from_slice(bytes).ok()?;
            (record.format == FORMAT).then_some(record)
        })?;
        let mut records: Vec<Self> = found
            .good
            .into_iter()
            .map(|(path, record)| Self { path, record })
            .collect();
        records.sort_by_key(|file| file.record.written_at);
        Ok((records, found.damaged))
    }
}

impl StopRecord {
    /// Whether a stop that it knows of may still be under way.
    pub fn is_of_this_boot(&self) -> bool {
        match (&self.boot_id, boot_id()) {
            (Some(then), Some(now)) => *then == now,
            // The units hide it (ProcSubset=pid).
            _ => self
                .uptime_seconds
                .is_none_or(|then| then <= uptime_seconds()),
        }
    }
}

fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// By the monotonic clock.
fn uptime_seconds() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_again_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let entry = Entry {
            id: "a".repeat(64),
            name: "db".to_owned(),
            project: None,
            service: None,
            number: None,
            level: 0,
            dependencies: Vec::new(),
            has_healthcheck: false,
            grace_seconds: 30,
            asked_at: None,
        };
        let unit = UnitName::parse("u").unwrap();
        let mut file =
            RecordFile::create(folder.path(), "r1", &unit, Path::new("/s"), 60, vec![entry])
                .unwrap();
        file.asked(0).unwrap();
        std::fs::write(folder.path().join("broken.json"), "{").unwrap();
        let (records, damaged) = RecordFile::pending(folder.path()).unwrap();
        assert_eq!(records.len(), 1);
        assert!(records[0].record.entries[0].asked_at.is_some());
        assert!(records[0].record.is_of_this_boot());
        let mut other = records[0].record.clone();
        other.boot_id = Some("another".to_owned());
        assert!(!other.is_of_this_boot());
        (other.boot_id, other.uptime_seconds) = (None, Some(i64::MAX));
        assert!(!other.is_of_this_boot());
        // Of a version that did not write either.
        other.uptime_seconds = None;
        assert!(other.is_of_this_boot());
        assert_eq!(damaged, [folder.path().join("broken.json")]);
        file.clear().unwrap();
        assert!(RecordFile::pending(folder.path()).unwrap().0.is_empty());
        assert!(
            RecordFile::pending(Path::new("/nonexistent"))
                .unwrap()
                .0
                .is_empty()
        );
    }
}
