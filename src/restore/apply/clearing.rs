//! What is done to what earlier parts left, before the next one is extracted over it: beneath the staging directory, through no link.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, statat, unlinkat};
use rustix::io::Errno;

use crate::base::text::printable;
use crate::error::{Exit, Failure, Result};
use crate::model::point::Lists;
use crate::swap::attributes;
use crate::swap::beneath::open_in;

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory that is extracted into.
pub struct Cleared {
    root: OwnedFd,
    /// The one that was opened last: a list names what is beside each other.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Cleared {
    pub fn open(root: &Path) -> Result<Self> {
        let opened = rustix::fs::open(root, OFlags::PATH | DIRECTORY, Mode::empty())
            .with_context(|| format!("cannot open `{}`", root.display()))?;
        Ok(Self {
            root: opened,
            last: None,
        })
    }

    /// Deletes and strips what `lists` name. What is not there is done already.
    pub fn clear(&mut self, lists: &Lists) -> Result<()> {
        lists
            .deleted
            .iter()
            .try_for_each(|path| self.delete(path))?;
        lists.stripped.iter().try_for_each(|path| self.strip(path))
    }

    /// Whether there is something at `path`.
    pub fn has(&mut self, path: &Path) -> bool {
        self.kind(path).is_ok_and(|found| found.is_some())
    }

    /// What is at `path`, and the directory that it is in.
    fn kind(&mut self, path: &Path) -> Result<Option<(FileType, &OwnedFd)>> {
        let Some(name) = path.file_name() else {
            anyhow::bail!("the root of a source is no path in it");
        };
        let Some(parent) = self.parent(path)? else {
            return Ok(None);
        };
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some((FileType::from_raw_mode(found.st_mode), parent))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot access `{}`", shown(path))),
        }
    }

    /// The directory that `path` is in; `None` when it is not there.
    fn parent(&mut self, path: &Path) -> Result<Option<&OwnedFd>> {
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            return Ok(Some(&self.root));
        }
        let is_last = self.last.as_ref().is_some_and(|(last, _)| last == parent);
        if !is_last {
            let opened = match open_in(self.root.as_fd(), parent, OFlags::PATH | DIRECTORY) {
                Err(Errno::NOENT) => return Ok(None),
                opened => opened.map_err(|error| refused(path, error))?,
            };
            self.last = Some((parent.to_owned(), opened));
        }
        Ok(self.last.as_ref().map(|(_, opened)| opened))
    }

    fn delete(&mut self, path: &Path) -> Result<()> {
        let Some((kind, parent)) = self.kind(path)? else {
            return Ok(());
        };
        let name = path.file_name().unwrap_or_default();
        if kind == FileType::Directory {
            remove_folder(parent, name)
        } else {
            unlinkat(parent, name, AtFlags::empty()).map_err(std::io::Error::from)
        }
        .with_context(|| format!("`{}` cannot be deleted", shown(path)))?;
        // It may have been in what is gone.
        self.last = None;
        Ok(())
    }

    fn strip(&mut self, path: &Path) -> Result<()> {
        let opened = match path.as_os_str().is_empty() {
            true => rustix::fs::openat(&self.root, ".", DIRECTORY, Mode::empty()),
            false => open_in(self.root.as_fd(), path, DIRECTORY),
        };
        match opened {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(refused(path, error).into()),
            Ok(opened) => attributes::strip(&opened)
                .with_context(|| format!("`{}` cannot be stripped", shown(path))),
        }
    }
}

/// With all that is in it. The standard library follows no link on its way down.
fn remove_folder(parent: &OwnedFd, name: &OsStr) -> std::io::Result<()> {
    let parent = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd()));
    std::fs::remove_dir_all(parent.join(name))
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

fn refused(path: &Path, error: Errno) -> Failure {
    let what = shown(path);
    let why = match error {
        Errno::LOOP | Errno::NOTDIR => "something on the way to it is not a directory",
        _ => "it cannot be opened",
    };
    Failure::new(
        Exit::UnitsFailed,
        format!("the recipe wants `{what}` to be deleted or stripped: {why}"),
    )
    .hint("take another restore point")
    .caused_by(error)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::render;

    fn deleted(root: &Path, path: &str) -> Result<()> {
        Cleared::open(root)?.clear(&Lists {
            deleted: vec![path.into()],
            ..Lists::default()
        })
    }

    fn stripped(root: &Path, path: &str) -> Result<()> {
        Cleared::open(root)?.clear(&Lists {
            stripped: vec![path.into()],
            ..Lists::default()
        })
    }

    #[test]
    fn what_is_deleted_lies_beneath_and_is_reached_through_no_link() {
        let root = tempfile::tempdir().unwrap();
        let (data, outside) = (root.path().join("data"), root.path().join("outside"));
        std::fs::create_dir_all(data.join("a/b")).unwrap();
        std::fs::create_dir_all(outside.join("sub")).unwrap();
        std::fs::write(outside.join("x"), "x").unwrap();
        std::fs::write(data.join("a/b/file"), "x").unwrap();
        symlink("../outside", data.join("link")).unwrap();
        symlink(&outside, data.join("a/b/link")).unwrap();
        symlink("a", data.join("near")).unwrap();
        for hostile in ["link/x", "link/sub", "near/b", "a/b/file/x", "a/b/link/x"] {
            let text = render(&deleted(&data, hostile).unwrap_err());
            assert!(text.contains("is not a directory"), "{hostile}: {text}");
            assert!(stripped(&data, hostile).is_err(), "{hostile}");
        }
        for hostile in ["", "..", "../outside", "a/../../outside", "/etc/hostname"] {
            assert!(deleted(&data, hostile).is_err(), "{hostile}");
        }
        assert!(outside.join("x").exists() && data.join("a/b/file").exists());
        for path in ["link", "a/b", "a/b", "never/was", "a/never"] {
            deleted(&data, path).unwrap();
        }
        assert!(outside.join("x").exists() && outside.join("sub").exists());
        assert!(data.join("a").exists() && !data.join("a/b").exists());
        assert!(!data.join("link").is_symlink() && data.join("near").is_symlink());
    }

    #[test]
    fn one_list_takes_what_is_beside_and_below_each_other() {
        let root = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"\xff\n");
        std::fs::create_dir_all(root.path().join("a/b/c")).unwrap();
        std::fs::write(root.path().join("a/b").join(odd), "x").unwrap();
        std::fs::write(root.path().join("a/b/-rf"), "x").unwrap();
        let lists = Lists {
            deleted: vec![
                Path::new("a/b").join(odd),
                "a/b/-rf".into(),
                "a/b".into(),
                "a/b/c".into(),
            ],
            stripped: vec![PathBuf::new(), "a/b".into()],
        };
        Cleared::open(root.path()).unwrap().clear(&lists).unwrap();
        let left: Vec<_> = std::fs::read_dir(root.path().join("a")).unwrap().collect();
        assert!(left.is_empty());
    }

    #[test]
    fn a_directory_loses_all_its_attributes_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let (folder, other) = (root.path().join("folder"), root.path().join("other"));
        let flags = rustix::fs::XattrFlags::empty();
        for path in [&folder, &other] {
            std::fs::create_dir(path).unwrap();
            for name in ["user.a", "user.b c"] {
                if rustix::fs::setxattr(path, name, b"1", flags).is_err() {
                    // This file system has none.
                    return;
                }
            }
        }
        symlink("other", root.path().join("link")).unwrap();
        std::fs::write(root.path().join("file"), "x").unwrap();
        assert!(stripped(root.path(), "link").is_err());
        assert!(stripped(root.path(), "file").is_err());
        stripped(root.path(), "folder").unwrap();
        let count = |path: &Path| {
            let mut list = vec![0; 4096];
            rustix::fs::listxattr(path, &mut list[..]).unwrap()
        };
        assert_eq!((count(&folder), count(&other)), (0, 16));
    }
}
