//! The restore journal: written before the first thing is made, removed when nothing is left to finish or to undo.
//!
//! While it says `extracting` the targets hold what they held, and everything that was made can be removed. From `swapping`
//! on everything is extracted, whole and on the disk, and the swaps are finished, so that a unit never starts
//! half old and half new.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::attributes::{Attributes, Modified, modified};
use super::beneath;
use super::held::Held;
use super::holes::Holes;
use super::kept;
use super::marks::{self, Mark};
use super::numbers;
use super::program::{Owed, Program};
use super::within::{Moves, Within};
use crate::base::blocking::aside;
use crate::base::fault;
use crate::base::files;
use crate::error::Result;
use crate::model::Identity;
use crate::model::{BackupId, PointId, SourceKey, UnitName};

const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    pub format: u32,
    /// The restore's own id: when it began.
    pub id: BackupId,
    pub unit: UnitName,
    /// Where the engine is that the volumes belong to.
    pub socket: PathBuf,
    pub written_at: DateTime<Utc>,
    pub phase: Phase,
    pub swaps: Vec<Swap>,
    /// Volumes that were not there before; made empty.
    pub new_volumes: Vec<String>,
    /// Networks that were not there before.
    #[serde(default)]
    pub new_networks: Vec<String>,
    /// Directories that were not there before, the outermost first.
    pub new_folders: Vec<PathBuf>,
    /// What is restored; `None` when a restore is taken back.
    #[serde(default)]
    pub point: Option<PointName>,
    /// The restore that is taken back.
    #[serde(default)]
    pub undoes: Option<BackupId>,
    /// When swapping was decided: what is written after it is newer than what the restore knew.
    #[serde(default)]
    pub decided_at: Option<DateTime<Utc>>,
    /// When everything was in its place: what is left needs no service to be down.
    #[serde(default)]
    pub swapped_at: Option<DateTime<Utc>>,
    /// Containers that nothing starts once the swaps are done. Empty in journals of older versions, as is all below.
    #[serde(default)]
    pub holds: Vec<Held>,
    /// Containers that are started once the swaps are done.
    #[serde(default)]
    pub wakes: Vec<Held>,
    /// How long such a start may take to get healthy.
    #[serde(default)]
    pub start_timeout_seconds: u64,
    /// What brings up the containers that are here before it, should they be replaced.
    #[serde(default)]
    pub before: Option<Program>,
    /// What is brought up once the swaps are done, when a restore is taken back.
    #[serde(default)]
    pub owed: Option<Owed>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointName {
    pub backup_id: PointId,
    /// Who made it.
    pub identity: Identity,
}

impl Journal {
    /// Of a restore that has made nothing yet and swaps nothing.
    pub fn new(id: BackupId, unit: UnitName, socket: PathBuf) -> Self {
        Self {
            format: FORMAT,
            id,
            unit,
            socket,
            written_at: Utc::now(),
            phase: Phase::Extracting,
            swaps: Vec::new(),
            new_volumes: Vec::new(),
            new_networks: Vec::new(),
            new_folders: Vec::new(),
            point: None,
            undoes: None,
            decided_at: None,
            swapped_at: None,
            holds: Vec::new(),
            wakes: Vec::new(),
            start_timeout_seconds: 0,
            before: None,
            owed: None,
        }
    }

    /// Whether Docker has to be told not to start a container, or to start it again.
    pub fn has_policies(&self) -> bool {
        let mut all = self.holds.iter().chain(&self.wakes);
        all.any(|held| held.restarts_always)
    }

    /// Ids of what nothing starts once the swaps are done.
    pub fn held_ids(&self) -> Vec<String> {
        let held = self.holds.iter();
        held.map(|held| held.entry.id.clone()).collect()
    }

    /// Since when whatever is written is newer than what the restore knew. Older versions wrote down only when it began.
    pub fn decided_at(&self) -> DateTime<Utc> {
        self.decided_at.unwrap_or(self.written_at)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Extracting,
    Swapping,
}

/// One directory or file that takes the place of another. All its paths are in one directory, on one file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// As the operator knows it: ``volume `db` ``.
    pub what: String,
    pub target: PathBuf,
    /// A directory that only root can enter; what is extracted is in it, as [`Swap::content`].
    pub staging: PathBuf,
    /// What the old content is called when it is kept.
    pub kept: PathBuf,
    /// Inode number of what was extracted; it tells which of the two a name leads to. Set when swapping begins.
    pub new_inode: Option<u64>,
    /// Inode number of what the target was before; `None` when there was nothing.
    pub old_inode: Option<u64>,
    /// Set for a target that cannot be renamed: what is in it is moved instead, and all its paths are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// The source that it is; `None` for a file of the recipe.
    #[serde(default)]
    pub key: Option<SourceKey>,
    /// What takes the target's place when nothing was extracted: a safety copy.
    #[serde(default)]
    pub copy: Option<PathBuf>,
    /// Set when swapping begins and the target is an empty folder: that is not kept.
    #[serde(default)]
    pub old_empty: Option<Attributes>,
    /// The target is in this directory, where others write: its names are only used through what was opened in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beneath: Option<PathBuf>,
    /// This file system numbers by name: only which names there are tells what was done.
    #[serde(default)]
    pub by_names: bool,
    /// The times that a directory had before it was moved; some file systems (XFS) change them when its parent is another one.
    #[serde(default)]
    pub new_modified: Option<Modified>,
    #[serde(default)]
    pub old_modified: Option<Modified>,
}

impl Swap {
    pub fn new(what: String, target: PathBuf, id: BackupId) -> Self {
        Self {
            staging: marks::beside(&target, Mark::New, id),
            kept: marks::beside(&target, Mark::Before, id),
            what,
            target,
            new_inode: None,
            old_inode: None,
            within: None,
            key: None,
            copy: None,
            old_empty: None,
            beneath: None,
            by_names: false,
            new_modified: None,
            old_modified: None,
        }
    }

    /// For a target that cannot be renamed; `root_inode` is its own.
    pub fn within(what: String, target: PathBuf, id: BackupId, root_inode: u64) -> Self {
        Self {
            staging: marks::inside(&target, Mark::New, id),
            kept: marks::inside(&target, Mark::Before, id),
            within: Some(Within {
                root_inode,
                new_root: None,
                holes: Holes::default(),
                moves: None,
            }),
            ..Self::new(what, target, id)
        }
    }

    /// The new content before the swap, the old one after it.
    pub fn content(&self) -> PathBuf {
        match &self.copy {
            Some(copy) => copy.clone(),
            None => self.staging.join("data"),
        }
    }

    /// Where that goes which services had at the target while the swaps were half done.
    pub fn since(&self) -> PathBuf {
        marks::renamed(&self.kept, Mark::Since)
    }

    /// What in the target stays where it is.
    pub fn holes(&self) -> Holes {
        let within = self.within.as_ref();
        within.map_or_else(Holes::default, |within| within.holes.clone())
    }

    /// The directory that the staging directory and the safety copy are in.
    pub fn parent(&self) -> &Path {
        self.kept.parent().unwrap_or(Path::new("/"))
    }
}

fn is_empty_folder(path: &Path) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Inode number (`lstat`: links are not followed); `None` if the path does not exist.
pub fn inode(path: &Path) -> Result<Option<u64>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(fault::number(path, metadata.ino()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot access `{}`", path.display())),
    }
}

fn save(path: &Path, journal: &Journal) -> Result<()> {
    files::write(path, &serde_json::to_vec_pretty(journal)?)
        .context("the journal of the restore cannot be written")
}

/// A journal on the disk.
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    pub journal: Journal,
}

impl JournalFile {
    /// Writes the journal; after this it survives a power cut.
    pub fn create(folder: &Path, journal: Journal) -> Result<Self> {
        let file = Self {
            path: Self::path(folder, journal.id),
            journal,
        };
        file.save()?;
        Ok(file)
    }

    fn path(folder: &Path, id: BackupId) -> PathBuf {
        folder.join(format!("{id}.json"))
    }

    /// The first id that the next restore may have: now, but after every one that is known. Several in one second must be told apart,
    /// and in their order: the latest is the one that is put back.
    pub fn next_id(folder: &Path) -> BackupId {
        let folders = [folder.to_owned(), kept::folder(folder)];
        let names = folders.iter().flat_map(std::fs::read_dir).flatten();
        let newest = names
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let (id, _) = name.to_str()?.split_once('.')?;
                BackupId::parse(id).ok()
            })
            .max();
        let now = BackupId::at(Utc::now());
        newest.map_or(now, |newest| newest.next().max(now))
    }

    /// Writes down what is kept. From now on it is done, whatever becomes of the journal.
    pub fn note(&self) -> Result<()> {
        kept::write(self.folder(), &self.journal)
    }

    pub fn is_noted(&self) -> bool {
        kept::path(self.folder(), self.journal.id).exists()
    }

    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Finds out by what the old and the new can be told apart. The staging directories must be there.
    pub async fn look_at_numbers(&mut self) -> Result<()> {
        let mut swaps = self.journal.swaps.clone();
        self.journal.swaps = aside(move || {
            for swap in &mut swaps {
                swap.by_names = !numbers::last(&beneath::anchor(swap)?.swap)?;
            }
            Ok(swaps)
        })
        .await?;
        Ok(())
    }

    /// From now on it is finished, not undone. Everything must be extracted, and its users stopped. On an error nothing is decided.
    pub fn decide(&mut self) -> Result<()> {
        let mut decided = self.journal.clone();
        decided.decided_at = Some(Utc::now());
        for swap in &mut decided.swaps {
            let anchored = beneath::anchor(swap)?;
            swap.old_inode = inode(&anchored.swap.target)?;
            swap.new_inode = inode(&anchored.swap.content())?;
            if swap.new_inode.is_none() {
                anyhow::bail!("what was extracted for {} is gone", swap.what);
            }
            let content = anchored.swap.content();
            if let Some(within) = &mut swap.within {
                within.check_root(&swap.target)?;
                within.moves = Some(Moves::plan(&swap.target, &content, within)?);
                continue;
            }
            let target = &anchored.swap.target;
            swap.new_modified = modified(&content)?;
            swap.old_modified = modified(target)?;
            if is_empty_folder(target) {
                swap.old_empty = Some(Attributes::of(target)?);
            }
        }
        decided.phase = Phase::Swapping;
        save(&self.path, &decided)?;
        self.journal = decided;
        Ok(())
    }

    /// Everything is in its place. Services are down: the disk is not waited for, and without it a replay looks where things are.
    pub fn swapped(&mut self) {
        self.journal.swapped_at = Some(Utc::now());
        if let Err(error) = serde_json::to_vec_pretty(&self.journal)
            .map_err(anyhow::Error::from)
            .and_then(|content| files::write_soon(&self.path, &content))
        {
            debug!("the journal does not say that all is in its place: {error:#}");
        }
    }

    /// What is about to be made besides is removed too when it comes to nothing.
    pub fn add(&mut self, volumes: Vec<String>, networks: Vec<String>) -> Result<()> {
        self.journal.new_volumes.extend(volumes);
        self.journal.new_networks.extend(networks);
        self.save()
    }

    /// The swaps were taken back: what is left is to be removed.
    pub fn retreat(&mut self) -> Result<()> {
        self.journal.phase = Phase::Extracting;
        self.save()
    }

    pub fn save(&self) -> Result<()> {
        save(&self.path, &self.journal)
    }

    /// Nothing is left to undo: it came to nothing.
    pub fn clear(&self) -> Result<()> {
        files::remove(&self.path)
    }

    /// Nothing is left to finish: all is in place, and it is written down what is kept.
    pub fn finish(&self) -> Result<()> {
        if let Some(undone) = self.journal.undoes {
            // Its copies are in their old place again.
            files::remove(&kept::path(self.folder(), undone))?;
        }
        self.clear()
    }

    /// The journals that killed restores left, the oldest first, and the files that are none.
    pub fn pending(folder: &Path) -> Result<(Vec<Self>, Vec<PathBuf>)> {
        let found = files::read_all(folder, |bytes| {
            let journal: Journal = serde_json::from_slice(bytes).ok()?;
            (journal.format == FORMAT).then_some(journal)
        })?;
        let mut journals: Vec<Self> = found
            .good
            .into_iter()
            .map(|(path, journal)| Self { path, journal })
            .collect();
        journals.sort_by_key(|file| file.journal.id);
        Ok((journals, found.damaged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_found_again_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let journals = folder.path().join("restoring");
        assert!(JournalFile::pending(&journals).unwrap().0.is_empty());
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let unit = UnitName::parse("u").unwrap();
        let swap = Swap::new("v".to_owned(), folder.path().join("data"), id);
        let journal = Journal {
            swaps: vec![swap],
            ..Journal::new(id, unit, "/s".into())
        };
        let mut file = JournalFile::create(&journals, journal).unwrap();
        assert!(file.decide().is_err(), "nothing was extracted");
        std::fs::write(journals.join("broken.json"), "{").unwrap();
        let (found, damaged) = JournalFile::pending(&journals).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].journal, file.journal);
        assert_eq!(damaged, [journals.join("broken.json")]);
        file.clear().unwrap();
        assert!(JournalFile::pending(&journals).unwrap().0.is_empty());
    }

    #[test]
    fn a_restore_has_an_id_after_all_that_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let journals = folder.path().join("restoring");
        let now = || BackupId::at(Utc::now());
        let (before, first) = (now(), JournalFile::next_id(&journals));
        assert!(before <= first && first <= now());
        // Of one second, or of a clock that was wrong.
        let later = BackupId::at(Utc::now() + chrono::TimeDelta::seconds(90));
        for path in [
            JournalFile::path(&journals, later),
            kept::path(&journals, later),
        ] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "{}").unwrap();
            let next = JournalFile::next_id(&journals);
            assert_eq!(next.time(), later.time() + chrono::TimeDelta::seconds(1));
            std::fs::remove_file(path).unwrap();
        }
    }
}
