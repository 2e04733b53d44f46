//! Putting the new in the place of the old. Each step is atomic, and each can be asked for again: inode numbers tell
//! what was done before, or the names that there are, where a file system derives its numbers from them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tracing::debug;

use super::attributes::set_modified;
use super::journal::{Swap, inode};
use super::{beneath, changed, within};
use crate::base::fault;
use crate::base::files::sync_folder;
use crate::error::Result;

/// Puts every new content in place, or none: when one cannot be swapped, those before it are taken back.
pub async fn exchange_all(swaps: &[Swap]) -> Result<()> {
    for (index, swap) in swaps.iter().enumerate() {
        fault::reached(&format!("restore_swap_{}", index + 1)).await;
        if let Err(error) = exchange(swap).await {
            let error = error.context(format!("{} cannot be put in its place", swap.what));
            return Err(match take_back_all(swaps) {
                Ok(()) => error,
                Err(back) => NotTakenBack(format!("{back:#}")).into_error(error),
            });
        }
    }
    Ok(())
}

/// The unit is half old and half new, and neither way can be finished.
#[derive(Debug, thiserror::Error)]
#[error("what was swapped before it cannot be taken back either: {0}")]
pub struct NotTakenBack(String);

impl NotTakenBack {
    pub fn of(why: &str) -> Self {
        Self(why.to_owned())
    }

    fn into_error(self, cause: anyhow::Error) -> anyhow::Error {
        cause.context(self)
    }
}

pub fn take_back_all(swaps: &[Swap]) -> Result<()> {
    let failures: Vec<String> = swaps
        .iter()
        .filter_map(|swap| {
            let error = take_back(swap).err()?;
            Some(format!("{}: {error:#}", swap.what))
        })
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        anyhow::bail!("{}", failures.join("; "))
    }
}

/// Where a swap is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The target is the old one, even if it was changed since.
    Old,
    /// Between two renames.
    Between,
    /// The new content is in place, even if it was changed since.
    New,
}

/// By what is where: numbers tell the old from the new, or, where a file system gives no lasting ones, the names that there are.
pub fn standing(swap: &Swap) -> Result<Standing> {
    if let Some(within) = &swap.within {
        return within::standing(swap, within);
    }
    standing_of(&beneath::anchor(swap)?.swap)
}

/// [`standing`] of one whose names can be used.
fn standing_of(swap: &Swap) -> Result<Standing> {
    let (content, target, kept) = (
        inode(&swap.content())?,
        inode(&swap.target)?,
        inode(&swap.kept)?,
    );
    let (is_new_staged, is_old_kept, is_old_staged, is_old_there, is_new_there) = if swap.by_names {
        let is_new_staged = content.is_some();
        let is_old_kept = swap.old_inode.is_some() && kept.is_some();
        let is_there = target.is_some();
        (
            is_new_staged,
            is_old_kept,
            false,
            is_there && is_new_staged && !is_old_kept,
            is_there && !is_new_staged,
        )
    } else {
        let is_old = |found: Option<u64>| swap.old_inode.is_some() && found == swap.old_inode;
        let is_new = |found: Option<u64>| swap.new_inode.is_some() && found == swap.new_inode;
        (
            is_new(content),
            is_old(kept),
            is_old(content),
            is_old(target),
            is_new(target),
        )
    };
    if is_new_there {
        return Ok(Standing::New);
    }
    if is_new_staged {
        return Ok(if is_old_kept {
            Standing::Between
        } else {
            Standing::Old
        });
    }
    if is_old_there || (target.is_none() && swap.old_inode.is_none()) {
        return Ok(Standing::Old);
    }
    match (is_old_kept || is_old_staged, target) {
        (true, None) => Ok(Standing::Between),
        // An editor, say, has replaced it since.
        (true, Some(_)) => Ok(Standing::New),
        _ if swap.old_inode.is_none() => Ok(Standing::New),
        _ => anyhow::bail!(
            "`{}` holds neither the old nor the new content",
            swap.target.display()
        ),
    }
}

async fn exchange(swap: &Swap) -> Result<()> {
    match &swap.within {
        Some(within) => within::exchange(swap, within).await,
        None => exchange_by(&beneath::anchor(swap)?.swap, exchange_names),
    }
}

/// `swap_names` exchanges two names atomically, or says that this file system cannot.
fn exchange_by(swap: &Swap, swap_names: fn(&Path, &Path) -> Result<Swapped>) -> Result<()> {
    let (content, target) = (swap.content(), &swap.target);
    if standing_of(swap)? != Standing::New {
        let is_there = inode(&content)?;
        if is_there.is_none() || (!swap.by_names && is_there != swap.new_inode) {
            anyhow::bail!("what was extracted is no longer at `{}`", content.display());
        }
        put_in_place(swap, swap_names)?;
    }
    set_modified(target, swap.new_modified)?;
    sync(swap)
}

fn put_in_place(swap: &Swap, swap_names: fn(&Path, &Path) -> Result<Swapped>) -> Result<()> {
    let (content, target) = (swap.content(), &swap.target);
    let found = inode(target)?;
    let is_old = swap.old_inode.is_some()
        && if swap.by_names {
            found.is_some() && inode(&swap.kept)?.is_none()
        } else {
            found == swap.old_inode
        };
    if !is_old {
        // Nothing, or what Docker makes when a container is started that has it mounted.
        remove_if_empty(target)?;
        return rename_to_nothing(&content, target);
    }
    // Where names tell what was done, the old never has the name of the new.
    if !swap.by_names && swap_names(&content, target)? == Swapped::Done {
        return Ok(());
    }
    // For a moment there is nothing at all: the journal knows, and no container is running.
    rename_to_nothing(target, &swap.kept)?;
    rename_to_nothing(&content, target)
}

/// What took a place that should be empty: an empty directory goes, everything else stays.
fn remove_if_empty(path: &Path) -> Result<()> {
    match std::fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| {
            format!(
                "`{}` was replaced meanwhile, by another program",
                path.display()
            )
        }),
    }
}

/// Puts the old content back, from wherever it is by now. Nothing to do when it never left.
fn take_back(swap: &Swap) -> Result<()> {
    if let Some(within) = &swap.within {
        return within::take_back(swap, within);
    }
    let anchored = beneath::anchor(swap)?;
    let swap = &anchored.swap;
    let (content, target) = (swap.content(), &swap.target);
    match standing_of(swap)? {
        Standing::Old => return Ok(()),
        Standing::New => {
            if !swap.by_names && inode(target)? != swap.new_inode {
                anyhow::bail!(
                    "`{}` holds neither the old nor the new content",
                    target.display()
                );
            }
            put_aside(swap)?;
        }
        Standing::Between => {}
    }
    if swap.old_inode.is_some() && inode(&swap.kept)?.is_some() {
        remove_if_empty(target)?;
        rename_to_nothing(&swap.kept, target)?;
    }
    set_modified(target, swap.old_modified)?;
    if !swap.by_names && inode(target)? != swap.old_inode {
        anyhow::bail!(
            "`{}` holds neither the old nor the new content",
            target.display()
        );
    }
    sync(swap)?;
    debug!(
        "`{}` is what it was, and the new is at `{}`",
        target.display(),
        content.display()
    );
    Ok(())
}

/// Moves what is at the target to where the new content came from; the old content comes in its place if it is there.
fn put_aside(swap: &Swap) -> Result<()> {
    let (content, target) = (swap.content(), &swap.target);
    let staged = inode(&content)?;
    let is_old_staged = !swap.by_names && staged.is_some() && staged == swap.old_inode;
    if is_old_staged && exchange_names(&content, target)? == Swapped::Done {
        return Ok(());
    }
    rename_to_nothing(target, &content)
}

/// Puts the old content back although services may have been at work on what took its place. What they had there goes to
/// [`Swap::since`]; returns whether there is something.
pub fn take_back_used(swap: &Swap, decided_at: DateTime<Utc>) -> Result<bool> {
    if let Some(within) = &swap.within {
        return within::take_back_used(swap, within);
    }
    let anchored = beneath::anchor(swap)?;
    let swap = &anchored.swap;
    let (target, since) = (&swap.target, swap.since());
    // Killed before: then what is at the target by now is not theirs.
    if inode(&since)?.is_none() {
        match standing_of(swap)? {
            Standing::Old => return Ok(false),
            Standing::New if !changed::target(swap, decided_at)? => {
                take_back(swap)?;
                return Ok(false);
            }
            _ => {}
        }
        // An empty directory is what Docker makes for a container whose data is not there.
        if inode(target)?.is_some() && std::fs::remove_dir(target).is_err() {
            rename_to_nothing(target, &since)?;
        }
    }
    for place in [swap.content(), swap.kept.clone()] {
        let found = inode(&place)?;
        let is_old = swap.old_inode.is_some()
            && if swap.by_names {
                found.is_some() && place == swap.kept
            } else {
                found == swap.old_inode
            };
        if is_old {
            remove_if_empty(target)?;
            rename_to_nothing(&place, target)?;
            break;
        }
    }
    set_modified(target, swap.old_modified.filter(|_| target.exists()))?;
    sync(swap)?;
    Ok(inode(&since)?.is_some())
}

/// Gives what was there before the name that it is kept under, and removes the staging folder. An empty directory is not kept.
/// Returns where the old content is, if there was any. Only after every exchange.
pub fn keep(swap: &Swap) -> Result<Option<PathBuf>> {
    if let Some(within) = &swap.within {
        return within::keep(swap, within);
    }
    let (named, anchored) = (swap, beneath::anchor(swap)?);
    let swap = &anchored.swap;
    let content = swap.content();
    if let Some(found) = inode(&content)? {
        if swap.by_names || Some(found) == swap.new_inode {
            anyhow::bail!("`{}` has not been put in its place", content.display());
        }
        match std::fs::remove_dir(&content) {
            Ok(()) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory
                ) =>
            {
                rename_to_nothing(&content, &swap.kept)?;
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("`{}` cannot be moved", content.display()));
            }
        }
    } else if swap.old_empty.is_some() {
        // It got its name when it was moved out of the way.
        let _ = std::fs::remove_dir(&swap.kept);
    }
    let kept = inode(&swap.kept)?.map(|_| named.kept.clone());
    if kept.is_some() {
        set_modified(&swap.kept, swap.old_modified)?;
    }
    match std::fs::remove_dir(&named.staging) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error)
                .with_context(|| format!("cannot remove `{}`", named.staging.display()));
        }
    }
    sync_folder(swap.parent())?;
    Ok(kept)
}

fn sync(swap: &Swap) -> Result<()> {
    sync_folder(swap.parent())?;
    if swap.staging.exists() {
        sync_folder(&swap.staging)?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swapped {
    Done,
    /// The file system or the kernel does not know how.
    NotPossible,
}

fn exchange_names(one: &Path, other: &Path) -> Result<Swapped> {
    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Swapped::Done),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(Swapped::NotPossible),
        Err(error) => Err(error).with_context(|| {
            format!(
                "`{}` and `{}` cannot be exchanged",
                one.display(),
                other.display()
            )
        }),
    }
}

/// Never onto something that is there.
pub fn rename_to_nothing(from: &Path, to: &Path) -> Result<()> {
    let moved = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if inode(to)?.is_none() => {
            rustix::fs::rename(from, to)
        }
        result => result,
    };
    moved.with_context(|| {
        format!(
            "`{}` cannot be renamed to `{}`",
            from.display(),
            to.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BackupId;

    /// A target and its new content, decided but not swapped.
    fn prepared(root: &Path, name: &str, make: fn(&Path, &str), has_old: bool) -> Swap {
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let mut swap = Swap::new(name.to_owned(), root.join(name), id);
        std::fs::create_dir(&swap.staging).unwrap();
        make(&swap.content(), "new");
        if has_old {
            make(&swap.target, "old");
        }
        swap.new_inode = inode(&swap.content()).unwrap();
        swap.old_inode = inode(&swap.target).unwrap();
        swap
    }

    fn folder(path: &Path, text: &str) {
        std::fs::create_dir(path).unwrap();
        std::fs::write(path.join("file"), text).unwrap();
    }

    fn file(path: &Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }

    fn text(path: &Path) -> Option<String> {
        std::fs::read_to_string(path)
            .or_else(|_| std::fs::read_to_string(path.join("file")))
            .ok()
    }

    fn cannot(_: &Path, _: &Path) -> Result<Swapped> {
        Ok(Swapped::NotPossible)
    }

    #[tokio::test]
    async fn folders_and_files_are_swapped_and_the_old_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let swaps = [
            prepared(root.path(), "folder", folder, true),
            prepared(root.path(), "file", file, true),
            prepared(root.path(), "fresh", folder, false),
        ];
        exchange_all(&swaps).await.unwrap();
        exchange_all(&swaps).await.unwrap();
        for swap in &swaps {
            assert_eq!(text(&swap.target).as_deref(), Some("new"), "{}", swap.what);
            let kept = keep(swap).unwrap();
            assert_eq!(keep(swap).unwrap(), kept, "a second time changes nothing");
            assert_eq!(kept.is_some(), swap.old_inode.is_some());
            if let Some(kept) = kept {
                assert_eq!(text(&kept).as_deref(), Some("old"));
            }
            assert!(!swap.staging.exists());
        }
    }

    #[test]
    fn a_file_system_without_exchange_takes_two_renames() {
        let root = tempfile::tempdir().unwrap();
        for (name, make) in [("folder", folder as fn(&Path, &str)), ("file", file)] {
            let swap = prepared(root.path(), name, make, true);
            exchange_by(&swap, cannot).unwrap();
            exchange_by(&swap, cannot).unwrap();
            assert_eq!(text(&swap.target).as_deref(), Some("new"));
            assert_eq!(keep(&swap).unwrap(), Some(swap.kept.clone()));
            assert_eq!(text(&swap.kept).as_deref(), Some("old"));

            let swap = prepared(root.path(), &format!("half-{name}"), make, true);
            rename_to_nothing(&swap.target, &swap.kept).unwrap();
            exchange_by(&swap, cannot).unwrap();
            assert_eq!(
                text(&swap.target).as_deref(),
                Some("new"),
                "finished from half way"
            );

            let swap = prepared(root.path(), &format!("back-{name}"), make, true);
            rename_to_nothing(&swap.target, &swap.kept).unwrap();
            take_back(&swap).unwrap();
            assert_eq!(
                text(&swap.target).as_deref(),
                Some("old"),
                "taken back from half way"
            );

            let swap = prepared(root.path(), &format!("whole-{name}"), make, true);
            exchange_by(&swap, cannot).unwrap();
            take_back(&swap).unwrap();
            take_back(&swap).unwrap();
            assert_eq!(
                text(&swap.target).as_deref(),
                Some("old"),
                "taken back from the end"
            );
            assert_eq!(text(&swap.content()).as_deref(), Some("new"));
        }
    }

    #[tokio::test]
    async fn when_one_cannot_be_swapped_all_are_taken_back() {
        let root = tempfile::tempdir().unwrap();
        let swaps = [
            prepared(root.path(), "one", folder, true),
            prepared(root.path(), "fresh", folder, false),
            prepared(root.path(), "two", folder, true),
        ];
        std::fs::remove_dir_all(swaps[2].content()).unwrap();
        let error = exchange_all(&swaps).await.unwrap_err();
        assert!(!error.is::<NotTakenBack>(), "{error:#}");
        assert_eq!(text(&swaps[0].target).as_deref(), Some("old"));
        assert_eq!(text(&swaps[2].target).as_deref(), Some("old"));
        assert!(!swaps[1].target.exists());
        assert_eq!(text(&swaps[1].content()).as_deref(), Some("new"));
    }

    #[test]
    fn an_empty_folder_is_not_kept_and_what_has_no_place_yet_is_never_thrown_away() {
        let root = tempfile::tempdir().unwrap();
        let mut swap = prepared(root.path(), "v", folder, false);
        std::fs::create_dir(&swap.target).unwrap();
        swap.old_inode = inode(&swap.target).unwrap();
        assert!(
            keep(&swap).is_err(),
            "the new content is still in the staging directory"
        );
        exchange_by(&swap, exchange_names).unwrap();
        assert_eq!(keep(&swap).unwrap(), None);
        assert_eq!(text(&swap.target).as_deref(), Some("new"));
    }
}
