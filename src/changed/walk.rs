//! Goes through a source as tar does, in the order of its names, and asks the kernel of each file.

use std::ffi::{CString, OsStr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::vec::IntoIter;

use anyhow::Context as _;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::stat::Stat;
use crate::error::Result;
use crate::model::exclude::Excludes;

/// Each directory on the way is open.
const DEEPEST: usize = 400;

/// One that is being gone through.
struct Level {
    directory: OwnedFd,
    names: IntoIter<CString>,
    /// Of its path.
    length: usize,
}

/// Calls `each` with every path below the directory `root`, itself first as `.`, that `excludes` does not leave out, but sockets. What is
/// mounted in it is named and not entered. What vanishes meanwhile is left out. Blocks.
pub fn walk(
    root: BorrowedFd<'_>,
    excludes: &Excludes,
    is_cancelled: &dyn Fn() -> bool,
    mut each: impl FnMut(&[u8], &Stat) -> Result<()>,
) -> Result<()> {
    let top = rustix::fs::fstat(root).context("the source cannot be looked at")?;
    let root_device = top.st_dev;
    let top = Stat::of(&top).relative_to(root_device);
    let mut path = b".".to_vec();
    each(&path, &top)?;
    let mut levels = vec![enter(root, c".", &path)?.context("the source is gone")?];
    while let Some(level) = levels.last_mut() {
        path.truncate(level.length);
        let Some(name) = level.names.next() else {
            levels.pop();
            continue;
        };
        if is_cancelled() {
            anyhow::bail!("the walk was given up");
        }
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        if is_left_out(&path, excludes) {
            continue;
        }
        let found = match statat(&level.directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Stat::of(&found).relative_to(root_device),
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error).with_context(|| unreadable(&path)),
        };
        if found.kind() == FileType::Socket {
            continue;
        }
        each(&path, &found)?;
        if !found.is_directory() || found.device != top.device {
            continue;
        }
        if levels.len() >= DEEPEST {
            anyhow::bail!("{} lies deeper than {DEEPEST} directories", shown(&path));
        }
        let level = levels
            .last()
            .map(|level| enter(&level.directory, &name, &path));
        levels.extend(level.transpose()?.flatten());
    }
    Ok(())
}

/// `None` when it is gone, or is something else by now.
fn enter(
    above: impl std::os::fd::AsFd,
    name: &std::ffi::CStr,
    path: &[u8],
) -> Result<Option<Level>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(above, name, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error).with_context(|| unreadable(path)),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory).with_context(|| unreadable(path))? {
        let entry = entry.with_context(|| unreadable(path))?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(Some(Level {
        directory,
        names: names.into_iter(),
        length: path.len(),
    }))
}

fn is_left_out(path: &[u8], excludes: &Excludes) -> bool {
    let below = path.strip_prefix(b"./").unwrap_or(path);
    excludes.matches(Path::new(OsStr::from_bytes(below)))
}

fn unreadable(path: &[u8]) -> String {
    format!("{} cannot be read", shown(path))
}

/// For people.
pub fn shown(path: &[u8]) -> String {
    let below = path.strip_prefix(b"./").unwrap_or(path);
    format!("`{}`", String::from_utf8_lossy(below).escape_debug())
}
