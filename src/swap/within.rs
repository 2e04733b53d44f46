//! A target that cannot be renamed itself, such as a mount point: what is in it is moved aside within it, entry by entry,
//! and the new entries take its place. Each rename is atomic; the journal, with every entry in it, makes the whole so.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, Modified, set_modified};
use super::exchange::{Standing, rename_to_nothing};
use super::holes::{self, Holes, Way};
use super::journal::{Swap, inode};
use super::{changed, marks, staging};
use crate::base::fault;
use crate::base::files::sync_folder;
use crate::error::Result;

/// Where `e2fsck` puts what it finds; it makes it again when it is gone.
const LOST_AND_FOUND: &str = "lost+found";
const EXT_MAGIC: i64 = 0xEF53;
const EXT_ROOT_INODE: u64 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Within {
    /// Inode number of the target itself: after a boot it may not be mounted yet.
    pub root_inode: u64,
    /// What the target is to have itself, when the directory with the new entries does not have that.
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// A path for what is beside something that stays.
    pub name: OsString,
    pub inode: u64,
    /// The time of a directory, which a move changes on some file systems.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Modified>,
}

impl Within {
    /// Refuses another directory under the target's name: the empty one, say, that a disk is mounted on.
    pub fn check_root(&self, target: &Path) -> Result<()> {
        if inode(target)? == Some(self.root_inode) {
            return Ok(());
        }
        anyhow::bail!(
            "`{}` is not the directory that was there when the restore began: is its file system mounted?",
            target.display()
        )
    }
}

impl Moves {
    /// What has to be moved when the content of `target` is to be that of the directory `content`.
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

/// Where a swap is on its way.
pub fn standing(swap: &Swap, within: &Within) -> Result<Standing> {
    let moves = decided(swap, within)?;
    let content = swap.content();
    let old_aside = count(&moves.old, |entry| is_there(swap, entry, &swap.kept))?;
    let new_left = count(&moves.new, |entry| is_there(swap, entry, &content))?;
    Ok(if old_aside < moves.old.len() {
        match old_aside {
            0 => Standing::Old,
            _ => Standing::Between,
        }
    } else if new_left == 0 && all_are_there(&swap.target, moves).is_ok() {
        Standing::New
    } else if moves.old.is_empty() && new_left == moves.new.len() {
        Standing::Old
    } else {
        Standing::Between
    })
}

fn count(entries: &[Entry], is: impl Fn(&Entry) -> Result<bool>) -> Result<usize> {
    entries
        .iter()
        .try_fold(0, |number, entry| Ok(number + usize::from(is(entry)?)))
}

/// Whether something was written here since `decided_at`. A move changes the inode of an entry: of those only the content tells.
pub fn is_changed(swap: &Swap, within: &Within, decided_at: DateTime<Utc>) -> Result<bool> {
    let moves = decided(swap, within)?;
    let target = &swap.target;
    for entry in entries(target, Own::LeaveOut, &within.holes)? {
        if moves.stays.iter().any(|stays| stays.name == entry.name) {
            continue;
        }
        let is_it = |known: &&Entry| {
            known.name == entry.name && (swap.by_names || known.inode == entry.inode)
        };
        let known: Vec<&Entry> = moves.old.iter().chain(&moves.new).filter(is_it).collect();
        let is_as_it_was = known
            .iter()
            .any(|known| known.modified.is_none() || known.modified == entry.modified);
        if !is_as_it_was || changed::since(&target.join(&entry.name), decided_at)? {
            return Ok(true);
        }
    }
    // One of the old ones is gone.
    for entry in &moves.old {
        if !is_there(swap, entry, &swap.kept)? && !is_there(swap, entry, target)? {
            return Ok(true);
        }
    }
    Ok(false)
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
    let mut number = 0;
    for entry in &moves.old {
        number += 1;
        fault::reached(&format!("restore_move_{number}")).await;
        move_entry(swap, entry, target, &swap.kept)?;
    }
    if inode(&content)?.is_none() {
        return all_are_there(target, moves);
    }
    refuse_strangers(swap, moves, &within.holes)?;
    for entry in &moves.new {
        number += 1;
        fault::reached(&format!("restore_move_{number}")).await;
        // By names alone what is in the target is the new one as soon as it is not where it came from.
        let is_moved =
            swap.by_names && !is_there(swap, entry, &content)? && is_there(swap, entry, target)?;
        if !is_moved {
            move_entry(swap, entry, &content, target)?;
        }
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
        let is_in_place =
            is_there(swap, entry, target)? && !(swap.by_names && is_there(swap, entry, &content)?);
        if is_in_place {
            move_entry(swap, entry, target, &content)?;
        }
    }
    put_old_back(swap, moves)
}

fn put_old_back(swap: &Swap, moves: &Moves) -> Result<()> {
    for entry in &moves.old {
        if is_there(swap, entry, &swap.kept)? || !swap.by_names {
            move_entry(swap, entry, &swap.kept, &swap.target)?;
        }
    }
    holes::remove(&moves.ways, &swap.kept)?;
    holes::give(&moves.ways, &swap.target, |way| Some(&way.old))?;
    match std::fs::remove_dir(&swap.kept) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove `{}`", swap.kept.display()));
        }
        _ => {}
    }
    moves.old_root.set(&swap.target)?;
    sync(swap)
}

/// Puts the old entries back although services may have been at work here: what has taken their place goes to [`Swap::since`]. Returns
/// whether there is something.
pub fn take_back_used(swap: &Swap, within: &Within) -> Result<bool> {
    let moves = decided(swap, within)?;
    let since = swap.since();
    let aside = count(&moves.old, |entry| is_there(swap, entry, &swap.kept))?;
    let is_all_aside = aside == moves.old.len();
    for entry in entries(&swap.target, Own::LeaveOut, &within.holes)? {
        let is_old = moves.old.iter().find(|old| old.name == entry.name);
        let stays = moves.stays.iter().any(|stays| stays.name == entry.name);
        let is_in_the_way = match is_old {
            Some(old) => is_there(swap, old, &swap.kept)?,
            // Beside old entries it is what was written to them.
            None => is_all_aside && !stays,
        };
        if !is_in_the_way {
            continue;
        }
        if inode(&since)?.is_none() {
            staging::make_private(&since)?;
            holes::make(&moves.ways, &since)?;
        }
        rename_to_nothing(&swap.target.join(&entry.name), &since.join(&entry.name))?;
        set_modified(&since.join(&entry.name), entry.modified)?;
    }
    for old in &moves.old {
        if is_there(swap, old, &swap.kept)? {
            move_entry(swap, old, &swap.kept, &swap.target)?;
        }
    }
    holes::remove_empty(&moves.ways, &since);
    holes::remove_empty(&moves.ways, &swap.kept);
    holes::give(&moves.ways, &swap.target, |way| Some(&way.old))?;
    let _ = std::fs::remove_dir(&swap.kept);
    moves.old_root.set(&swap.target)?;
    sync(swap)?;
    Ok(inode(&since)?.is_some())
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
                return Err(error).with_context(|| format!("cannot remove `{}`", folder.display()));
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

fn move_entry(swap: &Swap, entry: &Entry, from: &Path, to: &Path) -> Result<()> {
    let (old, new) = (from.join(&entry.name), to.join(&entry.name));
    let is_done = is_there(swap, entry, to)? && (!swap.by_names || to == swap.kept);
    if !is_done {
        if !is_there(swap, entry, from)? {
            anyhow::bail!(
                "`{}` is neither in `{}` nor in `{}`, or it is not the same any more",
                entry.name.display(),
                from.display(),
                to.display()
            );
        }
        rename_to_nothing(&old, &new)?;
    }
    set_modified(&new, entry.modified)
}

/// Whether `entry` is in `folder`: by its number, or, where numbers go by names, whether there is something of its name. In the target
/// itself that may be another one.
fn is_there(swap: &Swap, entry: &Entry, folder: &Path) -> Result<bool> {
    let found = inode(&folder.join(&entry.name))?;
    Ok(if swap.by_names {
        found.is_some()
    } else {
        found == Some(entry.inode)
    })
}

/// The directory that the new entries came in goes when the last one has left it. Since then services may have been started
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
fn refuse_strangers(swap: &Swap, moves: &Moves, holes: &Holes) -> Result<()> {
    let (target, content) = (&swap.target, swap.content());
    for entry in entries(target, Own::LeaveOut, holes)? {
        let is_new = moves
            .new
            .iter()
            .any(|new| new.name == entry.name && (swap.by_names || new.inode == entry.inode));
        let is_in_place =
            is_new && !(swap.by_names && inode(&content.join(&entry.name))?.is_some());
        let stays = moves.stays.iter().any(|stays| stays.name == entry.name);
        if !is_in_place && !stays {
            anyhow::bail!(
                "`{}` appeared in `{}` meanwhile: which program writes there?",
                entry.name.display(),
                target.display()
            );
        }
    }
    Ok(())
}

/// What happens to directories of ours.
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
        .with_context(|| format!("`{}` cannot be listed", folder.display()))?;
    let mut entries: Vec<Entry> = found
        .into_iter()
        .map(|(name, metadata)| Entry {
            inode: fault::number(&folder.join(&name), metadata.ino()),
            modified: metadata
                .is_dir()
                .then(|| (metadata.mtime(), metadata.mtime_nsec())),
            name,
        })
        .collect();
    entries.sort_by(|one, other| one.name.cmp(&other.name));
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
        Err(error) => Err(error).with_context(|| format!("`{}` cannot be listed", path.display())),
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
