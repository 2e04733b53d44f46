//! Files that must be there, whole, after a power cut.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::error::Result;

/// Replaces `path` by `content` (mode 0600): after this returns the new content is on the disk, and at no moment was
/// there neither the old nor the new one.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    make_private_folder(folder_of(path))?;
    replace(path, content, 0o600)?;
    sync_folder(folder_of(path))
}

/// Replaces `path` by `content`, readable by all, as a whole or not at all. Its directory must exist.
pub fn write_public(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content, 0o644)
}

/// As [`write()`], without waiting for the disk: the new content is seen at once, and is on the disk a moment later. For what a power cut
/// makes worthless, where a wait would cost.
pub fn write_soon(path: &Path, content: &[u8]) -> Result<()> {
    let file = put(path, content, 0o600, |_| Ok(()))?;
    // Some file systems (XFS) may have the new name before the content: not for longer than it must be.
    let _ = std::thread::Builder::new()
        .name("sync".to_owned())
        .spawn(move || file.sync_all());
    Ok(())
}

fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    put(path, content, mode, File::sync_all).map(drop)
}

/// The mode is as said, whatever the umask.
fn put(
    path: &Path,
    content: &[u8],
    mode: u32,
    sync: impl FnOnce(&File) -> std::io::Result<()>,
) -> Result<File> {
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write to `{}`", folder.display()))?;
    let permissions = Permissions::from_mode(mode);
    file.write_all(content)
        .and_then(|()| file.as_file().set_permissions(permissions))
        .and_then(|()| sync(file.as_file()))
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    file.persist(path)
        .with_context(|| format!("cannot replace `{}`", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Removes `path`, for good after a power cut too. No error when it is not there.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder(folder_of(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove `{}`", path.display())),
    }
}

/// Makes `folder` and its parents; what is made is 0700.
pub fn make_private_folder(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot create directory `{}`", folder.display()))
}

/// What is in the files of a directory.
#[derive(Debug)]
pub struct Found<T> {
    pub good: Vec<(PathBuf, T)>,
    /// Those that nothing could be made of.
    pub damaged: Vec<PathBuf>,
}

/// Reads every `<folder>/*.json`; `read` makes something of its content. No directory is an empty one.
pub fn read_all<T>(folder: &Path, read: impl Fn(&[u8]) -> Option<T>) -> Result<Found<T>> {
    let mut found = Found {
        good: Vec::new(),
        damaged: Vec::new(),
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(found);
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read `{}`", folder.display()));
        }
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        match std::fs::read(&path).ok().and_then(|bytes| read(&bytes)) {
            Some(it) => found.good.push((path, it)),
            None => found.damaged.push(path),
        }
    }
    Ok(found)
}

pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot sync `{}`", folder.display()))
}
