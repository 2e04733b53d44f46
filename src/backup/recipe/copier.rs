//! Copies files into the recipe. What is known of each beside its content is data in its record: the copies are ours, closed
//! to others, and nothing is asked of the file system that a hardened unit may not do.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Captured;
use crate::discovery::place::clean;
use crate::error::Result;
use crate::model::point::{DirectoryRecord, FileAttributes, FileRecord, FileRole};
use crate::model::source::{Gap, GapReason};

/// Nothing that a compose file is made of is larger; what is, is data in the wrong place.
const LARGEST: u64 = 16 << 20;

pub struct Copier {
    folder: PathBuf,
    pub captured: Captured,
    /// Every path that was tried.
    seen: BTreeSet<PathBuf>,
    directories: BTreeSet<PathBuf>,
}

/// Why a file is not in the recipe.
enum NotSaved {
    /// Something about the file: a gap.
    Gap(String),
    /// Something about the directory that is written to.
    Error(anyhow::Error),
}

impl Copier {
    pub fn new(folder: &Path) -> Result<Self> {
        let copier = Self {
            folder: folder.join("files"),
            captured: Captured::default(),
            seen: BTreeSet::new(),
            directories: BTreeSet::new(),
        };
        private_folder(&copier.folder)?;
        Ok(copier)
    }

    pub fn has_tried(&self, path: &Path) -> bool {
        self.seen.contains(path)
    }

    /// Copies one file and gives its content; `None` when it is known already, or could not be saved, which is a gap by then.
    /// Of a link both are saved, it and what it leads to. An error is about the directory that is written to.
    pub fn file(&mut self, path: &Path, role: FileRole, what: &str) -> Result<Option<Vec<u8>>> {
        let mut path = path.to_owned();
        let mut content = None;
        while self.seen.insert(path.clone()) {
            match self.one(&path, role, LARGEST) {
                Ok((found, next)) => {
                    content.get_or_insert(found);
                    match next {
                        Some(next) => path = next,
                        None => break,
                    }
                }
                Err(NotSaved::Gap(why)) => {
                    self.gap(format!("{what}: `{}`", path.display()), why, true);
                    break;
                }
                Err(NotSaved::Error(error)) => return Err(error),
            }
        }
        Ok(content)
    }

    /// A file of a build context, which may be a link to anything: the link alone is saved.
    pub fn part_of_context(&mut self, path: &Path) -> Result<Result<(), String>> {
        if !self.seen.insert(path.to_owned()) {
            return Ok(Ok(()));
        }
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let saved = if is_link {
            self.link(path, FileRole::BuildContext).map(drop)
        } else {
            self.one(path, FileRole::BuildContext, u64::MAX - 1)
                .map(drop)
        };
        match saved {
            Ok(()) => Ok(Ok(())),
            Err(NotSaved::Gap(why)) => Ok(Err(why)),
            Err(NotSaved::Error(error)) => Err(error),
        }
    }

    /// What is at `path`, links followed, and where it leads if it is a link.
    fn one(
        &mut self,
        path: &Path,
        role: FileRole,
        largest: u64,
    ) -> Result<(Vec<u8>, Option<PathBuf>), NotSaved> {
        let (attributes, content) = open(path, largest).map_err(NotSaved::Gap)?;
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        // Versions that know of no links put the content back under its name.
        self.write(path, &content)?;
        if is_link {
            let next = self.link(path, role)?;
            return Ok((content, Some(next)));
        }
        self.record(path, role, attributes, None)?;
        Ok((content, None))
    }

    /// Records the link at `path` and gives what it leads to.
    fn link(&mut self, path: &Path, role: FileRole) -> Result<PathBuf, NotSaved> {
        let unreadable = |error: io::Error| NotSaved::Gap(format!("it cannot be read: {error}"));
        let metadata = std::fs::symlink_metadata(path).map_err(unreadable)?;
        let target = std::fs::read_link(path).map_err(unreadable)?;
        if target.to_str().is_none() {
            return Err(NotSaved::Gap(
                "it is a link to a name that is not valid UTF-8".to_owned(),
            ));
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        // Links above it first: `..` is relative to where they lead.
        let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
        self.record(
            path,
            role,
            FileAttributes::of(&metadata),
            Some(target.clone()),
        )?;
        Ok(clean(&parent.join(target)))
    }

    fn record(
        &mut self,
        path: &Path,
        role: FileRole,
        attributes: FileAttributes,
        link: Option<PathBuf>,
    ) -> Result<(), NotSaved> {
        if path.to_str().is_none() {
            return Err(NotSaved::Gap("its name is not valid UTF-8".to_owned()));
        }
        self.directories_above(path);
        self.captured.files.push(FileRecord {
            path: path.to_owned(),
            role,
            attributes: Some(attributes),
            link,
        });
        Ok(())
    }

    fn directories_above(&mut self, path: &Path) {
        for directory in path.ancestors().skip(1) {
            if directory.parent().is_none() || !self.directories.insert(directory.to_owned()) {
                return;
            }
            let known = DirectoryRecord::of(directory);
            self.captured.directories.extend(known);
        }
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), NotSaved> {
        if path.to_str().is_none() {
            return Err(NotSaved::Gap("its name is not valid UTF-8".to_owned()));
        }
        let copy = self.folder.join(path.strip_prefix("/").unwrap_or(path));
        let write = || -> io::Result<()> {
            if let Some(parent) = copy.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(parent)?;
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&copy)?;
            file.write_all(content)
        };
        write().map_err(|error| match error.kind() {
            // The name is too long here, or it is a file in one place and a directory in another.
            io::ErrorKind::InvalidFilename
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists => {
                NotSaved::Gap(format!("it cannot be kept under this name: {error}"))
            }
            _ => NotSaved::Error(anyhow::Error::from(error).context(format!(
                "the copy of `{}` cannot be written to `{}`",
                path.display(),
                copy.display()
            ))),
        })
    }

    pub fn gap(&mut self, what: String, detail: String, is_loss: bool) {
        let gap = Gap {
            what,
            reason: GapReason::Recipe,
            detail,
            is_loss,
        };
        if !self.captured.gaps.contains(&gap) {
            self.captured.gaps.push(gap);
        }
    }
}

/// Reads a regular file of a reasonable size, links followed; else why not.
fn open(path: &Path, largest: u64) -> Result<(FileAttributes, Vec<u8>), String> {
    type Found = Result<(FileAttributes, Vec<u8>), String>;
    let read = || -> io::Result<Found> {
        // The type is asked before the open: opening a named pipe waits for a writer.
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Ok(Err("it is not a regular file".to_owned()));
        }
        let mut content = Vec::new();
        File::open(path)?
            .take(largest + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > largest {
            return Ok(Err(format!("it is larger than {} MiB", largest >> 20)));
        }
        Ok(Ok((FileAttributes::of(&metadata), content)))
    };
    read().unwrap_or_else(|error| {
        Err(match error.kind() {
            io::ErrorKind::NotFound => "it is not there".to_owned(),
            _ => format!("it cannot be read: {error}"),
        })
    })
}

fn private_folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create directory `{}`", path.display()))
}
