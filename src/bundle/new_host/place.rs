//! Files of a bundle, put where they were. What differs is never lost: a copy of it stays beside.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::base::files;
use crate::base::private_file;
use crate::error::{Exit, Failure, Result};

/// A file and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    pub content: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// What is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    Nothing,
    Same,
    Different,
}

impl Place {
    /// Root's, for root alone.
    pub fn private(path: PathBuf, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path,
            content: content.into(),
            mode: 0o600,
            uid: 0,
            gid: 0,
        }
    }

    pub fn now(&self) -> Result<Now> {
        let shown = self.path.display();
        match std::fs::symlink_metadata(&self.path) {
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(Now::Nothing)
            }
            Err(error) => Err(error).with_context(|| format!("cannot look at `{shown}`")),
            Ok(_) if self.path.is_dir() => Err(Failure::new(
                Exit::Declined,
                format!("`{shown}` is a directory, where a file of the bundle has its place"),
            )
            .hint("nothing was changed; move it away")
            .into()),
            // A link to nowhere is there, and differs.
            Ok(_) => match std::fs::read(&self.path) {
                Ok(content) if content == self.content => Ok(Now::Same),
                _ => Ok(Now::Different),
            },
        }
    }

    /// The copy of what was there and differed.
    pub fn put(&self) -> Result<Option<PathBuf>> {
        let shown = self.path.display();
        let kept = match self.now()? {
            Now::Same => return Ok(None),
            Now::Nothing => None,
            Now::Different if self.path.exists() => Some(private_file::keep_copy(&self.path)?),
            Now::Different => None,
        };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        // Where others read what is in it, they find it.
        let mode = if self.mode & 0o004 == 0 { 0o700 } else { 0o755 };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(folder)
            .with_context(|| format!("cannot create directory `{}`", folder.display()))?;
        let write = || -> Result<()> {
            let mut file = private_file::beside(&self.path)?;
            file.write_all(&self.content)?;
            let permissions = std::fs::Permissions::from_mode(self.mode);
            file.as_file().set_permissions(permissions)?;
            fchown(file.as_file(), Some(self.uid), Some(self.gid))?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            files::sync_folder(folder)
        };
        write().with_context(|| format!("cannot write `{shown}`"))?;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn place(path: PathBuf, content: &str) -> Place {
        let mut place = Place::private(path, content);
        // The tests need not be root's.
        place.uid = rustix::process::geteuid().as_raw();
        place.gid = rustix::process::getegid().as_raw();
        place
    }

    #[test]
    fn a_file_is_put_once_and_what_differs_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/key");
        let one = place(path.clone(), "one");
        assert_eq!(one.now().unwrap(), Now::Nothing);
        assert_eq!(one.put().unwrap(), None);
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        let above = path.parent().unwrap().metadata().unwrap();
        assert_eq!(above.mode() & 0o7777, 0o700);
        assert_eq!(one.now().unwrap(), Now::Same);
        assert_eq!(one.put().unwrap(), None);

        let other = place(path.clone(), "other");
        assert_eq!(other.now().unwrap(), Now::Different);
        let kept = other.put().unwrap().unwrap();
        assert_eq!(std::fs::read(kept).unwrap(), b"one");
        assert_eq!(std::fs::read(&path).unwrap(), b"other");
    }

    #[test]
    fn a_directory_is_refused_and_a_link_to_nowhere_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let refused = place(folder.path().to_owned(), "").now().unwrap_err();
        assert_eq!(crate::error::exit_of(&refused), Exit::Declined);
        let path = folder.path().join("link");
        std::os::unix::fs::symlink("/missing/file", &path).unwrap();
        let one = place(path.clone(), "one");
        assert_eq!(one.now().unwrap(), Now::Different);
        assert_eq!(one.put().unwrap(), None);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
    }
}
