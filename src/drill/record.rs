//! That a drill is at work, on the disk before the first thing of it is made: everything that is made has its id.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::paths::Paths;
use crate::config::Config;
use crate::error::Result;
use crate::model::UnitName;

const FORMAT: u32 = 1;
/// Of a unit's name in that of a project: Docker makes host names of it.
const LONGEST_NAME: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// When it began, and a little that is random: the value of the label `kopi-docka.drill`.
    pub id: String,
    pub unit: UnitName,
    /// The name of the compose project.
    pub project: String,
    /// Where the engine is that it is in.
    pub socket: PathBuf,
    /// What it has on the disk beside Docker's volumes.
    pub folder: PathBuf,
    pub started_at: DateTime<Utc>,
}

impl Record {
    /// One that has no id of another one, and that is not on the disk yet.
    pub fn new(config: &Config, paths: &Paths, unit: &UnitName) -> Self {
        let started_at = Utc::now();
        let mut id = id_at(started_at);
        while file(&paths.drilling(), &id).exists() || file(&paths.kept_drills(), &id).exists() {
            id = id_at(started_at);
        }
        let project = format!("{}-drill-{id}", project_part(unit.as_str()));
        Self {
            format: FORMAT,
            unit: unit.clone(),
            folder: config.drills().join(&project),
            socket: config.docker.socket.clone(),
            project,
            id,
            started_at,
        }
    }

    /// After this it survives a power cut.
    pub fn write(&self, paths: &Paths) -> Result<()> {
        files::write(
            &file(&paths.drilling(), &self.id),
            &serde_json::to_vec_pretty(self)?,
        )
    }

    /// From now on only `drill --remove` takes it away.
    pub fn keep(&self, paths: &Paths) -> Result<()> {
        files::write(
            &file(&paths.kept_drills(), &self.id),
            &serde_json::to_vec_pretty(self)?,
        )?;
        files::remove(&file(&paths.drilling(), &self.id))
    }

    /// Nothing of it is left.
    pub fn clear(&self, paths: &Paths) -> Result<()> {
        files::remove(&file(&paths.drilling(), &self.id))?;
        files::remove(&file(&paths.kept_drills(), &self.id))
    }

    /// What everything of it has.
    pub fn label(&self) -> String {
        format!("{}={}", crate::discovery::labels::DRILL, self.id)
    }
}

fn file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// Sorts by time. An engine may be that of several installations, which know nothing of each other.
fn id_at(time: DateTime<Utc>) -> String {
    let random = RandomState::new().build_hasher().finish() & 0xffff;
    format!("{}-{random:04x}", time.format("%Y%m%d%H%M%S"))
}

/// As the name of a compose project may be.
fn project_part(unit: &str) -> String {
    let part: String = unit
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_') {
                c
            } else {
                '-'
            }
        })
        .take(LONGEST_NAME)
        .collect();
    let part = part.trim_matches(['-', '_']);
    if part.is_empty() {
        "unit".to_owned()
    } else {
        part.to_owned()
    }
}

/// The drills whose records are in `folder`, the oldest first. A file that is none is left alone.
fn all(folder: &Path) -> Result<Vec<Record>> {
    let found = files::read_all(folder, |bytes| {
        let record: Record = serde_json::from_slice(bytes).ok()?;
        (record.format == FORMAT).then_some(record)
    })?;
    let mut records: Vec<Record> = found.good.into_iter().map(|(_, record)| record).collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(records)
}

/// Those that are at work, or that were killed.
pub fn drilling(paths: &Paths) -> Result<Vec<Record>> {
    all(&paths.drilling())
}

/// Those that were left running on purpose.
pub fn kept(paths: &Paths) -> Result<Vec<Record>> {
    all(&paths.kept_drills())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_has_a_name_that_compose_takes() {
        for (unit, expected) in [
            ("web", "web"),
            ("My.App", "my-app"),
            ("_x", "x"),
            ("ü", "unit"),
            ("-", "unit"),
        ] {
            assert_eq!(project_part(unit), expected);
        }
        assert_eq!(project_part(&"a".repeat(99)).len(), LONGEST_NAME);
    }

    #[test]
    fn two_drills_of_one_second_are_told_apart_also_when_one_was_kept() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: folder.path().to_owned(),
            ..Paths::standard()
        };
        let (config, web) = (Config::default(), UnitName::parse("web").unwrap());
        let mut ids = std::collections::BTreeSet::new();
        for number in 0..4 {
            let record = Record::new(&config, &paths, &web);
            record.write(&paths).unwrap();
            if number % 2 == 0 {
                record.keep(&paths).unwrap();
            }
            assert!(ids.insert(record.id.clone()));
            assert!(
                record
                    .folder
                    .ends_with(format!("drills/web-drill-{}", record.id))
            );
        }
        assert_eq!(
            (kept(&paths).unwrap().len(), drilling(&paths).unwrap().len()),
            (2, 2)
        );
        for record in drilling(&paths).unwrap() {
            record.clear(&paths).unwrap();
        }
        assert!(drilling(&paths).unwrap().is_empty());
    }
}
