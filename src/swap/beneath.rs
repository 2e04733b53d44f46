//! A file that is put back into a volume lies in directories that a container may change at any time: one that becomes a link must not lead
//! the restore elsewhere. So its directory is opened beneath the volume's root, through no link and onto no other file system, and what
//! is done is done in what was opened. What is extracted waits outside of the volume.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::journal::Swap;
use crate::error::{Exit, Failure, Result};

/// A swap whose names lead to where they led when it was made.
pub struct Anchored {
    pub swap: Swap,
    /// What the names go through.
    _opened: Vec<OwnedFd>,
}

/// Opens the directory of `swap`, if it is beneath a root that others write to, and its staging directory if that is too.
pub fn anchor(swap: &Swap) -> Result<Anchored> {
    let mut anchored = Anchored {
        swap: swap.clone(),
        _opened: Vec::new(),
    };
    let Some(root) = &swap.beneath else {
        return Ok(anchored);
    };
    let parent = swap.target.parent().unwrap_or(Path::new("/"));
    let below = parent
        .strip_prefix(root)
        .with_context(|| format!("`{}` is not in `{}`", parent.display(), root.display()))?;
    let directory = open(root, below)?;
    let place = place(&directory);
    let through = |path: &Path| match (path.parent(), path.file_name()) {
        (Some(of), Some(name)) if of == parent => place.join(name),
        _ => path.to_owned(),
    };
    anchored.swap.target = through(&swap.target);
    anchored.swap.kept = through(&swap.kept);
    anchored.swap.copy = swap.copy.as_deref().map(through);
    anchored._opened.push(directory);
    if let Some((staging, opened)) = open_staging(swap)? {
        anchored.swap.staging = staging;
        anchored._opened.push(opened);
    }
    Ok(anchored)
}

/// The staging directory of `swap`, by a name that holds while it is open, for us and for programs that we start; `None` when there is none in
/// reach of others.
pub fn open_staging(swap: &Swap) -> Result<Option<(PathBuf, OwnedFd)>> {
    let Some(root) = &swap.beneath else {
        return Ok(None);
    };
    let Ok(below) = swap.staging.strip_prefix(root) else {
        return Ok(None);
    };
    if std::fs::symlink_metadata(&swap.staging).is_err() {
        return Ok(None);
    }
    let opened = open(root, below)?;
    Ok(Some((place(&opened), opened)))
}

/// A name of what is open that holds for us and for programs that we start.
pub fn place(opened: impl AsFd) -> PathBuf {
    let (process, number) = (std::process::id(), opened.as_fd().as_raw_fd());
    PathBuf::from(format!("/proc/{process}/fd/{number}"))
}

/// The directory `below` in `root`, reached through no link.
pub fn open(root: &Path, below: &Path) -> Result<OwnedFd> {
    let is_plain = below
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if !is_plain {
        anyhow::bail!("`{}` is not a path inside a volume", below.display());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(root, flags, Mode::empty())
        .with_context(|| format!("cannot open `{}`", root.display()))?;
    if below.as_os_str().is_empty() {
        return Ok(opened);
    }
    open_in(opened.as_fd(), below, flags).map_err(|error| led_astray(root, below, error).into())
}

/// The directory `below` in `root`, which has no part but plain names, reached through no link and onto no other file system.
pub fn open_in(root: BorrowedFd<'_>, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    match rustix::fs::openat2(root, below, flags, Mode::empty(), resolve) {
        // Kernels before 5.6, and filters that do not know it.
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(root, below, flags),
        found => found,
    }
}

fn step_by_step(root: BorrowedFd<'_>, below: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = rustix::fs::openat(root, ".", on_the_way, Mode::empty())?;
    for part in below.components() {
        at = rustix::fs::openat(&at, part.as_os_str(), on_the_way, Mode::empty())?;
    }
    rustix::fs::openat(&at, ".", flags, Mode::empty())
}

fn led_astray(root: &Path, below: &Path, error: Errno) -> Failure {
    let path = root.join(below);
    let why = match error {
        Errno::LOOP | Errno::NOTDIR => "there is a link on the way to it",
        Errno::XDEV => {
            "another file system is mounted on the way to it, or it leads out of the volume"
        }
        Errno::NOENT => "it is gone",
        _ => "it cannot be opened",
    };
    Failure::new(
        Exit::UnitsFailed,
        format!("nothing is put back into `{}`: {why}", path.display()),
    )
    .hint("does a container write there? Stop it, or take the file to another place with `--target DIR`")
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_at_any_step() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
        std::os::unix::fs::symlink("b", root.join("a/same")).unwrap();
        std::os::unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = open(&root, Path::new("")).unwrap();
        for fine in ["a", "a/b"] {
            open(&root, Path::new(fine)).unwrap();
            step_by_step(opened.as_fd(), Path::new(fine), flags).unwrap();
        }
        for refused in ["out", "a/same", "out/x", "gone", "a/../out"] {
            assert!(open(&root, Path::new(refused)).is_err(), "{refused}");
            let by_step = step_by_step(opened.as_fd(), Path::new(refused), flags);
            assert!(refused.contains("..") || by_step.is_err(), "{refused}");
        }
        assert!(open(&folder.path().join("link"), Path::new("a")).is_err());
    }
}
