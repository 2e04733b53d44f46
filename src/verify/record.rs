//! What was found, remembered on this host: when a restore point was read back last, how much of it, and whether it was good.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::files;
use crate::base::text;
use crate::error::Result;
use crate::model::Identity;
use crate::model::{MachineId, PointId, UnitName};
use crate::points::point::Point;

/// One point. In a file of its own, so that losing one loses no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The unique id of the repository.
    repository: String,
    identity: Identity,
    /// `None` for a point that does not tell.
    #[serde(default)]
    machine: Option<MachineId>,
    unit: UnitName,
    backup_id: PointId,
    pub verified_at: DateTime<Utc>,
    /// Of the bytes of its sources.
    pub percent: u8,
    pub is_good: bool,
}

pub struct Memory {
    folder: PathBuf,
    repository: String,
    known: Vec<(PathBuf, Verified)>,
    /// Files that nothing could be made of.
    pub damaged: Vec<PathBuf>,
}

impl Memory {
    pub fn load(folder: &Path, repository: &str) -> Result<Self> {
        let found = files::read_all(folder, |bytes| {
            serde_json::from_slice::<Verified>(bytes).ok()
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            repository: repository.to_owned(),
            known: found.good,
            damaged: found.damaged,
        })
    }

    pub fn of(&self, point: &Point) -> Option<&Verified> {
        let of = |(_, known): &&(PathBuf, Verified)| self.is_of(known, point);
        self.known.iter().find(of).map(|(_, known)| known)
    }

    /// Remembers what was just found, unless what is known weighs more: damage is unsaid only by reading everything, and
    /// a larger share is not forgotten over a smaller one.
    pub fn remember(&mut self, point: &Point, percent: u8, is_good: bool) -> Result<()> {
        let verified = Verified {
            repository: self.repository.clone(),
            identity: point.identity.clone(),
            machine: point.machine.clone(),
            unit: point.unit.clone(),
            backup_id: point.backup_id.clone(),
            verified_at: Utc::now(),
            percent,
            is_good,
        };
        if self
            .of(point)
            .is_some_and(|known| weighs_more(known, &verified))
        {
            return Ok(());
        }
        let path = self.folder.join(self.file_name(point));
        files::write(&path, &serde_json::to_vec_pretty(&verified)?)?;
        self.known.retain(|(known, _)| *known != path);
        self.known.push((path, verified));
        Ok(())
    }

    /// Forgets the points of this repository that are gone, and files that nothing could be made of.
    pub fn tidy(&mut self, points: &[Point]) -> Result<()> {
        for (path, known) in &self.known {
            let is_there = points.iter().any(|point| self.is_of(known, point));
            if known.repository == self.repository && !is_there {
                files::remove(path)?;
            }
        }
        self.damaged
            .drain(..)
            .try_for_each(|path| files::remove(&path))
    }

    fn is_of(&self, known: &Verified, point: &Point) -> bool {
        known.repository == self.repository
            && known.identity == point.identity
            && known.machine == point.machine
            && known.unit == point.unit
            && known.backup_id == point.backup_id
    }

    /// Names of units may hold what no file name may.
    fn file_name(&self, point: &Point) -> String {
        let mut hash = Sha256::new();
        for part in [
            &self.repository,
            &point.identity.to_string(),
            point.unit.as_str(),
            &point.backup_id.to_string(),
        ] {
            hash.update(part);
            hash.update([0]);
        }
        if let Some(machine) = &point.machine {
            hash.update(machine.as_str());
        }
        let name: String = text::hex(&hash.finalize()).chars().take(32).collect();
        name + ".json"
    }
}

fn weighs_more(known: &Verified, new: &Verified) -> bool {
    match (known.is_good, new.is_good) {
        (_, false) => false,
        (false, true) => new.percent < 100,
        (true, true) => known.percent > new.percent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::point::{PointState, testing};

    fn point(unit: &str) -> Point {
        testing::point(unit, 2, "kopi-docka@h", PointState::Whole)
    }

    #[test]
    fn damage_is_unsaid_only_by_reading_everything() {
        let folder = tempfile::tempdir().unwrap();
        let web = point("web");
        for (percent, is_good, expected) in [
            (40, true, (40, true)),
            (30, true, (40, true)),
            (100, true, (100, true)),
            (99, true, (100, true)),
            (10, false, (10, false)),
            (99, true, (10, false)),
            (5, false, (5, false)),
            (100, true, (100, true)),
        ] {
            let mut memory = Memory::load(folder.path(), "r").unwrap();
            memory.remember(&web, percent, is_good).unwrap();
            // As this run knows it, and as the next one does.
            for memory in [&memory, &Memory::load(folder.path(), "r").unwrap()] {
                let known = memory.of(&web).unwrap();
                assert_eq!((known.percent, known.is_good), expected);
                assert_eq!(memory.known.len(), 1);
            }
        }
    }

    #[test]
    fn what_is_gone_is_forgotten_and_other_repositories_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let load = |repository| Memory::load(folder.path(), repository).unwrap();
        load("r").remember(&point("web"), 100, true).unwrap();
        load("r").remember(&point("db"), 100, true).unwrap();
        load("other").remember(&point("web"), 50, true).unwrap();
        std::fs::write(folder.path().join("x.json"), "{").unwrap();
        assert_eq!(load("r").damaged.len(), 1);
        load("r").tidy(&[point("db")]).unwrap();
        let memory = load("r");
        assert!(memory.damaged.is_empty());
        assert!(memory.of(&point("web")).is_none() && memory.of(&point("db")).is_some());
        assert_eq!(load("other").of(&point("web")).unwrap().percent, 50);
    }
}
