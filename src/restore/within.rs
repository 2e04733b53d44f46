//! A target that can't be renamed itself, such as a mount point: what is in it is moved aside within it, entry by entry,
//! and the new entries take its place. Each rename is atomic; the journal, with every entry in it, makes the whole so.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::holes::{self, Holes, Way};
use super::journal::{Swap, inode};
use super::swap::rename_to_nothing;
use super::{marks, staging};
use crate::error::Result;
use crate::fault;
use crate::state::sync_folder;

/// Where `e2fsck` puts what it finds; it makes it again when it is gone.
const LOST_AND_FOUND: &str = "lost+found";
const EXT_MAGIC: i64 = 0xEF53;
const EXT_ROOT_INODE: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// Inode number of the target itself: after a boot it may not be mounted yet.
    pub root_inode: u64,
    /// What the target is to have itself, when the folder with the new entries doesn't have that.
    #[serde(default)]
    pub new_root: Option<Attributes>,
    /// What in it stays where it is.
    #[serde(default, skip_serializing_if = "Holes::is_empty")]
    pub holes: Holes,
    /// Set when swapping begins.
    pub moves: Option<Moves>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    pub old: Vec<Entry>,
    pub new: Vec<Entry>,
    /// What belongs to the file system, not to the data.
    pub stays: Vec<Entry>,
    pub old_root: Attributes,
    pub new_root: Attributes,
    /// The directories on the way to what stays.
    #[serde(default)]
    pub ways: Vec<Way>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// A path for what is beside something that stays.
    pub name: OsString,
    pub inode: u64,
}

impl Within {
    /// Refuses another folder under the target's name: the empty one, say, that a disk is mounted on.
    pub fn check_root(&self, target: &Path) -> Result<()> {
        if inode(target)? == Some(self.root_inode) {
            return Ok(());
        }
        anyhow::bail!(
            "`{}` is not the folder that was there when the restore began: is its file system mounted?",
            target.display()
        )
    }
}

impl Moves {
    /// What has to be moved when the content of `target` is to be that of the folder `content`.
    pub fn plan(target: &Path, content: &Path, within: &Within) -> Result<Self> {
        let holes = &within.holes;
        holes.check(content)?;
        let mut moves = Self {
            old: entries(target, Own::LeaveOut, holes)?,
            new: entries(content, Own::TakeIn, holes)?,
            ways: holes.ways(target, content)?,
            stays: Vec::new(),
            old_root: Attributes::of(target)?,
            new_root: match &within.new_root {
                Some(given) => given.clone(),
                None => Attributes::of(content)?,
            },
        };
        if is_ext_root(target)? && is_without_content(target)? && is_without_content(content)? {
            let is_it = |entry: &Entry| entry.name == LOST_AND_FOUND;
            moves.stays = moves.old.extract_if(.., |entry| is_it(entry)).collect();
            if !moves.stays.is_empty() {
                moves.new.retain(|entry| !is_it(entry));
            }
        }
        Ok(moves)
    }
}

/// Moves the old entries aside and the new ones in; those that were moved before are left.
pub async fn exchange(swap: &Swap, within: &Within) -> Result<()> {
    let moves = decided(swap, within)?;
    let (content, target) = (swap.content(), &swap.target);
    if !moves.old.is_empty() && inode(&swap.kept)?.is_none() {
        staging::make_private(&swap.kept)?;
    }
    if !moves.old.is_empty() {
        holes::make(&moves.ways, &swap.kept)?;
    }
    let aside = moves.old.iter().map(|entry| (entry, target, &swap.kept));
    let mut number = 0;
    for (entry, from, to) in aside {
        number += 1;
        fault::reached(&format!("restore_move_{number}")).await;
        move_entry(entry, from, to)?;
    }
    if inode(&content)?.is_none() {
        return all_are_there(target, moves);
    }
    refuse_strangers(target, moves, &within.holes)?;
    for entry in &moves.new {
        number += 1;
        fault::reached(&format!("restore_move_{number}")).await;
        move_entry(entry, &content, target)?;
    }
    fault::reached("restore_move_root").await;
    if !moves.old.is_empty() {
        holes::give(&moves.ways, &swap.kept, |way| Some(&way.old))?;
    }
    holes::give(&moves.ways, target, |way| way.new.as_ref())?;
    moves.new_root.set(target)?;
    sync(swap)
}

/// The same backwards. Nothing to do when nothing was moved.
pub fn take_back(swap: &Swap, within: &Within) -> Result<()> {
    if within.moves.is_none() {
        return Ok(());
    }
    let moves = decided(swap, within)?;
    let (content, target) = (swap.content(), &swap.target);
    for entry in &moves.new {
        if is_at(entry, target)? {
            move_entry(entry, target, &content)?;
        }
    }
    for entry in &moves.old {
        move_entry(entry, &swap.kept, target)?;
    }
    holes::remove(&moves.ways, &swap.kept)?;
    holes::give(&moves.ways, target, |way| Some(&way.old))?;
    match std::fs::remove_dir(&swap.kept) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error)
                .with_context(|| format!("`{}` can't be removed", swap.kept.display()));
        }
        _ => {}
    }
    moves.old_root.set(target)?;
    sync(swap)
}

/// Removes what the new entries came in. Returns where the old ones are, if there were any.
pub fn keep(swap: &Swap, within: &Within) -> Result<Option<PathBuf>> {
    let moves = decided(swap, within)?;
    let content = swap.content();
    for entry in &moves.stays {
        // The saved one is empty as well, or it would not have stayed behind.
        let _ = std::fs::remove_dir(content.join(&entry.name));
    }
    within.holes.remove_from(&content);
    for folder in [&content, &swap.staging] {
        match std::fs::remove_dir(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("`{}` can't be removed", folder.display()));
            }
            _ => {}
        }
    }
    // Removing them has changed its time.
    moves.new_root.set(&swap.target)?;
    sync(swap)?;
    Ok(inode(&swap.kept)?.map(|_| swap.kept.clone()))
}

/// The moves, if the target is what it was when they were decided.
fn decided<'a>(swap: &Swap, within: &'a Within) -> Result<&'a Moves> {
    within.check_root(&swap.target)?;
    within
        .moves
        .as_ref()
        .with_context(|| format!("the journal does not say what to move in {}", swap.what))
}

fn move_entry(entry: &Entry, from: &Path, to: &Path) -> Result<()> {
    if is_at(entry, to)? {
        return Ok(());
    }
    if !is_at(entry, from)? {
        anyhow::bail!(
            "`{}` is neither in `{}` nor in `{}`, or it is not the same any more",
            entry.name.display(),
            from.display(),
            to.display()
        );
    }
    rename_to_nothing(&from.join(&entry.name), &to.join(&entry.name))
}

fn is_at(entry: &Entry, folder: &Path) -> Result<bool> {
    Ok(inode(&folder.join(&entry.name))? == Some(entry.inode))
}

/// The folder that the new entries came in goes when the last one has left it. Since then services may have been started
/// by others, after a reboot say: what they made of them is theirs.
fn all_are_there(target: &Path, moves: &Moves) -> Result<()> {
    for entry in &moves.new {
        if inode(&target.join(&entry.name))?.is_none() {
            anyhow::bail!(
                "`{}` is not in `{}`, and what was extracted is gone",
                entry.name.display(),
                target.display()
            );
        }
    }
    Ok(())
}

/// Nothing is merged: what came into the target since the journal was written is in neither list.
fn refuse_strangers(target: &Path, moves: &Moves, holes: &Holes) -> Result<()> {
    let stranger = entries(target, Own::LeaveOut, holes)?
        .into_iter()
        .find(|entry| moves.new.binary_search(entry).is_err() && !moves.stays.contains(entry));
    match stranger {
        None => Ok(()),
        Some(entry) => anyhow::bail!(
            "`{}` appeared in `{}` meanwhile: who writes there?",
            entry.name.display(),
            target.display()
        ),
    }
}

/// What happens to folders of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// In a target they stay.
    LeaveOut,
    /// In what was saved there are none but what is data.
    TakeIn,
}

/// Ordered by name.
fn entries(folder: &Path, own: Own, holes: &Holes) -> Result<Vec<Entry>> {
    let is_ours =
        |name: &OsStr, metadata: &Metadata| own == Own::LeaveOut && marks::is_own(name, metadata);
    let found = holes::list(folder, holes, is_ours)
        .with_context(|| format!("`{}` can't be listed", folder.display()))?;
    let entries = found.into_iter().map(|(name, inode)| Entry { name, inode });
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort();
    Ok(entries)
}

fn is_ext_root(folder: &Path) -> Result<bool> {
    let disk = rustix::fs::statfs(folder)?;
    Ok(disk.f_type as i64 == EXT_MAGIC && inode(folder)? == Some(EXT_ROOT_INODE))
}

/// Whether `lost+found` in `folder` is missing or an empty folder. One with something in it is data like any other.
fn is_without_content(folder: &Path) -> Result<bool> {
    let path = folder.join(OsStr::new(LOST_AND_FOUND));
    match std::fs::read_dir(&path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error).with_context(|| format!("`{}` can't be listed", path.display())),
    }
}

fn sync(swap: &Swap) -> Result<()> {
    for folder in [&swap.content(), &swap.kept, &swap.target] {
        if folder.exists() {
            sync_folder(folder)?;
        }
    }
    Ok(())
}
