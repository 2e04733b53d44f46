//! What a restore would do, decided before anything is touched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::files::FilePlan;
use super::names::{Consent, Power};
use super::nesting::{Inside, LeftOut};
use super::pieces::Piece;
use super::pool::Pool;
use crate::base::text;
use crate::error::{Exit, Failure, Result};
use crate::model::Identity;
use crate::model::point::{FileAttributes, Part};
use crate::model::{BackupId, Grade, PointId, SourceKey, UnitName};
use crate::points::point::Tool;
use crate::points::recipe::NewVolume;
use crate::quiesce::{Entry, Place};
use crate::restore::rebuild::Rebuild;
use crate::swap::journal::Swap;

#[derive(Debug, Serialize)]
pub struct Plan {
    /// The restore's own id.
    pub restore_id: BackupId,
    pub unit: UnitName,
    pub backup_id: PointId,
    /// When it was made.
    pub point_time: DateTime<Utc>,
    /// Who made the point.
    pub identity: Identity,
    pub made_by: Tool,
    pub grade: Grade,
    pub is_whole_unit: bool,
    /// The directory that it goes to; `None` in place.
    pub folder: Option<PathBuf>,
    /// The name of the copy that is made of the unit.
    pub project: Option<UnitName>,
    pub sources: Vec<SourcePlan>,
    /// Sources of the point that are not restored by themselves, each with the reason.
    pub left_out: Vec<LeftOut>,
    /// What has power over this host and is restored, and by whose leave.
    pub powers: Vec<Power>,
    pub files: Vec<FilePlan>,
    /// What is stopped while the swap is made.
    #[serde(serialize_with = "names")]
    pub stops: Vec<Entry>,
    pub space: Vec<Space>,
    /// What is made and started besides.
    pub rebuild: Rebuild,
    pub warnings: Vec<String>,
    /// What brings the unit up when it has no containers here.
    pub next_steps: Vec<String>,
}

/// One source that is extracted and swapped.
#[derive(Clone, Debug, Serialize)]
pub struct SourcePlan {
    #[serde(flatten)]
    pub key: SourceKey,
    pub target: PathBuf,
    pub is_file: bool,
    /// Only this of it is restored.
    #[serde(flatten)]
    pub piece: Piece,
    /// The target does not exist yet, so no container can be using it.
    #[serde(skip)]
    pub is_apart: bool,
    /// Length of its streams.
    pub bytes: u64,
    /// Where what is there now will be kept; `None` when nothing is there.
    pub kept: Option<PathBuf>,
    /// The volume is not there and is made.
    #[serde(skip)]
    pub new_volume: Option<NewVolume>,
    #[serde(skip)]
    pub new_folders: Vec<PathBuf>,
    /// What the record has of those.
    #[serde(skip)]
    pub new_attributes: Vec<(PathBuf, FileAttributes)>,
    #[serde(skip)]
    pub parts: Vec<Part>,
    /// It goes to its place with another one, and has no swap of its own.
    #[serde(serialize_with = "root")]
    pub inside: Option<Inside>,
    #[serde(skip)]
    pub swap: Swap,
}

/// Free space on one file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// By which file systems with the same space are known.
    #[serde(skip)]
    pub pool: String,
    /// A directory on it.
    pub path: PathBuf,
    pub needed_bytes: u64,
    pub free_bytes: u64,
    /// What is to stay free for others.
    pub reserve_bytes: u64,
}

fn root<S: serde::Serializer>(inside: &Option<Inside>, serializer: S) -> Result<S::Ok, S::Error> {
    inside
        .as_ref()
        .map(|inside| &inside.root)
        .serialize(serializer)
}

fn names<S: serde::Serializer>(entries: &[Entry], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(entries.iter().map(|entry| &entry.name))
}

impl SourcePlan {
    /// It goes to a directory that the operator named.
    pub fn is_in_named_folder(&self) -> bool {
        self.is_apart && self.new_volume.is_none()
    }
}

impl Plan {
    /// Of what is there afterwards: a copy's own where one is made.
    pub fn name(&self) -> &UnitName {
        self.project.as_ref().unwrap_or(&self.unit)
    }

    /// What an error says first.
    pub fn not_restored(&self) -> String {
        format!("unit `{}` was not restored", self.unit)
    }

    pub fn swaps(&self) -> Vec<Swap> {
        let sources = self.sources.iter();
        let sources = sources.filter(|source| source.inside.is_none());
        let sources = sources.map(|source| source.swap.clone());
        let files = self.files.iter().filter_map(|file| file.swap.clone());
        sources.chain(files).collect()
    }

    pub fn new_volumes(&self) -> Vec<String> {
        self.sources
            .iter()
            .filter_map(|source| Some(source.new_volume.as_ref()?.name.clone()))
            .collect()
    }

    /// The outermost first, each once.
    pub fn new_folders(&self) -> Vec<PathBuf> {
        let sources = self.sources.iter().flat_map(|source| &source.new_folders);
        let files = self.files.iter().flat_map(|file| &file.new_folders);
        let mut folders: Vec<PathBuf> = sources.chain(files).cloned().collect();
        folders.sort_by_key(|folder| (folder.components().count(), folder.clone()));
        folders.dedup();
        folders
    }

    /// What has to be asked besides whether to restore.
    pub fn question_of_power(&self) -> Option<String> {
        let asked = self.powers.iter();
        let asked = asked.filter(|power| power.consent == Consent::Asked);
        let paths: Vec<String> = asked
            .map(|power| format!("`{}`", text::printable(&power.path.to_string_lossy())))
            .collect();
        (!paths.is_empty()).then(|| {
            format!(
                "Restore also to {}? What is there has power over this host, and another host chose it",
                paths.join(", ")
            )
        })
    }

    /// Nothing in it needs containers to be stopped, or anything to be done at all.
    pub fn is_empty(&self) -> bool {
        self.swaps().is_empty() && self.rebuild.is_empty()
    }
}

/// What is needed on each file system: the old content stays, so the whole streams have to fit beside it.
pub fn space<'a>(
    needs: impl IntoIterator<Item = (&'a Pool, u64, &'a std::path::Path)>,
) -> Vec<Space> {
    let mut by_pool: BTreeMap<&str, Space> = BTreeMap::new();
    for (pool, bytes, path) in needs {
        let space = by_pool.entry(&pool.name).or_insert_with(|| Space {
            pool: pool.name.clone(),
            path: path.to_owned(),
            needed_bytes: 0,
            free_bytes: pool.free_bytes,
            reserve_bytes: pool.reserve_bytes(),
        });
        space.needed_bytes += bytes;
        // A dataset may have a limit of its own.
        space.free_bytes = space.free_bytes.min(pool.free_bytes);
    }
    by_pool.into_values().collect()
}

/// What several plans need together, on each file system: what each of them keeps stays beside what the next ones bring.
pub fn together<'a>(plans: impl IntoIterator<Item = &'a Space>) -> Vec<Space> {
    let mut by_pool: BTreeMap<&str, Space> = BTreeMap::new();
    for space in plans {
        by_pool
            .entry(&space.pool)
            .and_modify(|sum| {
                sum.needed_bytes = sum.needed_bytes.saturating_add(space.needed_bytes);
                sum.free_bytes = sum.free_bytes.min(space.free_bytes);
            })
            .or_insert_with(|| space.clone());
    }
    by_pool.into_values().collect()
}

impl Space {
    /// A little fits wherever there is space at all: it is not what takes it from others.
    pub fn is_short(&self) -> bool {
        let is_little = self.needed_bytes <= self.free_bytes / 100;
        !is_little && self.needed_bytes.saturating_add(self.reserve_bytes) > self.free_bytes
    }

    /// How much is missing, in a sentence.
    pub fn lack(&self) -> String {
        let wanted = self.needed_bytes.saturating_add(self.reserve_bytes);
        format!(
            "the file system of `{}` has {} free, the restore needs {}, and {} are to stay free for others ({} are missing)",
            self.path.display(),
            text::bytes(self.free_bytes),
            text::bytes(self.needed_bytes),
            text::bytes(self.reserve_bytes),
            text::bytes(wanted.saturating_sub(self.free_bytes))
        )
    }
}

/// Refuses what leaves others too little, by the length of the streams: a file system that compresses may hold more.
pub fn check_space(spaces: &[Space]) -> Result<()> {
    let short = spaces.iter().filter(|space| space.is_short());
    let short: Vec<String> = short.map(Space::lack).collect();
    if short.is_empty() {
        return Ok(());
    }
    let what = format!("{}: what is there now is kept beside it", short.join("; "));
    Err(Failure::new(Exit::UnitsFailed, what)
    .hint("free space there (safety copies of earlier restores are called `….kopi-docka-before-…`), or restore fewer volumes at once with `--volume`")
    .hint("if it fits anyway, because the file system compresses or you want what is left, add `--ignore-space`")
    .note("nothing was changed")
    .into())
}

/// Those of `sources` that a container could have in use.
pub fn swapped(sources: &[SourcePlan]) -> Vec<Place> {
    let sources = sources.iter().filter(|source| !source.is_apart);
    let swapped = sources.map(|source| Place {
        key: source.key.clone(),
        path: source.target.clone(),
    });
    swapped.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::error::render;

    #[test]
    fn space_is_counted_for_each_pool_as_a_whole_and_a_reserve_stays_free() {
        let pool = |name: &str, free_bytes| Pool {
            name: name.to_owned(),
            free_bytes,
            total_bytes: 1000,
        };
        let (one, same, other) = (pool("a", 200), pool("a", 190), pool("b", 200));
        let spaces = space([
            (&one, 60, Path::new("/a")),
            (&other, 60, Path::new("/b")),
            (&same, 41, Path::new("/c")),
        ]);
        assert_eq!(spaces.len(), 2);
        assert_eq!((spaces[0].needed_bytes, spaces[0].free_bytes), (101, 190));
        let text = render(&check_space(&spaces).unwrap_err());
        for part in ["`/a`", "nothing was changed", "--ignore-space"] {
            assert!(text.contains(part), "{text}");
        }
        check_space(&spaces[1..]).unwrap();
        // Each of two plans fits, and both do not: the file system that lacks space is named, and how much.
        let fits = |needed| space([(&other, needed, Path::new("/b"))]);
        let (first, second) = (fits(90), fits(80));
        check_space(&first).unwrap();
        check_space(&second).unwrap();
        let both = together(first.iter().chain(&second));
        assert_eq!(both.len(), 1);
        let text = render(&check_space(&both).unwrap_err());
        assert!(
            text.contains("needs 170 B") && text.contains("70 B are missing"),
            "{text}"
        );
        let full = pool("c", 50);
        check_space(&space([(&full, 0, Path::new("/c"))])).unwrap();
        assert!(check_space(&space([(&full, 1, Path::new("/c"))])).is_err());
    }
}
