//! The runs that this state directory has made. A copy of a machine may share every mark of it, its state directory included; but from
//! then on each of the two knows its own runs alone, and finds points under its own id that it has not made.
//!
//! Never here: what follows from it.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::paths::Paths;
use crate::error::{Exit, Failure, Result};
use crate::model::PointId;

/// Years of hourly runs. What is older counts as made here.
const MOST: usize = 30_000;

/// Fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The first run that was written down: those before it are of versions that did not, and count as made here.
    since: Option<PointId>,
    runs: BTreeSet<PointId>,
}

impl Made {
    /// Nothing is known where there is no file, or one that is damaged: then everything counts as made here.
    pub fn read(paths: &Paths) -> Self {
        Self::of(&paths.runs_made())
    }

    fn of(file: &Path) -> Self {
        let bytes = std::fs::read(file).ok();
        let made = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        made.unwrap_or_default()
    }

    /// Before `run` leaves anything in a repository: a point of ours must never look like that of another machine.
    pub fn note(paths: &Paths, run: &PointId) -> Result<()> {
        let file = paths.runs_made();
        let mut made = Self::of(&file);
        made.add(run);
        files::write(&file, &serde_json::to_vec(&made)?).map_err(|error| {
            Failure::new(
                Exit::UnitsFailed,
                "the record of this run cannot be written, so nothing is stopped",
            )
            .hint("the state directory needs free space, and must not be read-only")
            .caused_by(error)
            .into()
        })
    }

    fn add(&mut self, run: &PointId) {
        self.since.get_or_insert_with(|| run.clone());
        self.runs.insert(run.clone());
        while self.runs.len() > MOST {
            self.runs.pop_first();
            self.since = self.runs.first().cloned();
        }
    }

    /// Whether the run `id` can have been made here.
    pub fn has(&self, id: &PointId) -> bool {
        self.since.as_ref().is_none_or(|since| id < since) || self.runs.contains(id)
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    pub fn made(runs: &[&PointId]) -> Made {
        let mut made = Made::default();
        for run in runs {
            made.add(run);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(day: u32) -> PointId {
        PointId::parse(&format!("2026-01-{day:02}T00-00-00Z")).unwrap()
    }

    #[test]
    fn what_was_made_before_anything_was_written_down_is_ours() {
        assert!(Made::default().has(&run(1)));
        let made = testing::made(&[&run(3), &run(5)]);
        let has: Vec<bool> = (1..=6).map(|day| made.has(&run(day))).collect();
        assert_eq!(has, [true, true, true, false, true, false]);
    }

    #[test]
    fn it_is_kept_and_a_damaged_one_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: folder.path().to_owned(),
            ..Paths::standard()
        };
        for day in [3, 5] {
            Made::note(&paths, &run(day)).unwrap();
        }
        assert_eq!(Made::read(&paths), testing::made(&[&run(3), &run(5)]));
        std::fs::write(paths.runs_made(), "{").unwrap();
        Made::note(&paths, &run(7)).unwrap();
        assert_eq!(Made::read(&paths), testing::made(&[&run(7)]));
    }
}
