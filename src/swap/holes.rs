//! What stays where it is while all around it in a target is replaced: a disk that is mounted there, a subvolume, another source that is not
//! restored. The directories on the way to it stay too, and get the attributes of those in whose place they are.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::staging::make_private;
use crate::error::Result;

/// Paths relative to a target, none inside another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holes(pub Vec<PathBuf>);

/// A directory between a target and a hole in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    pub path: PathBuf,
    pub old: Attributes,
    /// `None` where what comes into the target does not have it.
    pub new: Option<Attributes>,
}

impl Holes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the entry at `path` stays.
    pub fn is_one(&self, path: &Path) -> bool {
        self.0.iter().any(|hole| hole == path)
    }

    pub fn is_way(&self, path: &Path) -> bool {
        self.0
            .iter()
            .any(|hole| hole != path && hole.starts_with(path))
    }

    /// The directories on the way, outermost first.
    fn way_paths(&self) -> Vec<PathBuf> {
        let above = self.0.iter().flat_map(|hole| hole.ancestors().skip(1));
        let mut ways: Vec<PathBuf> = above
            .filter(|path| !path.as_os_str().is_empty())
            .map(Path::to_owned)
            .collect();
        ways.sort();
        ways.dedup();
        ways
    }

    /// The ways from `target`, which must all be on its file system, and what `content` has in their place.
    pub fn ways(&self, target: &Path, content: &Path) -> Result<Vec<Way>> {
        let device = std::fs::symlink_metadata(target)?.dev();
        let ways = self.way_paths().into_iter().map(|path| {
            let at = target.join(&path);
            let found = std::fs::symlink_metadata(&at)
                .with_context(|| format!("cannot access `{}`", at.display()))?;
            if !found.is_dir() || found.dev() != device {
                anyhow::bail!(
                    "`{}` is not a directory of the file system of `{}`",
                    at.display(),
                    target.display()
                );
            }
            Ok(Way {
                old: Attributes::of(&at)?,
                new: match std::fs::symlink_metadata(content.join(&path)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    _ => Some(Attributes::of(&content.join(&path))?),
                },
                path,
            })
        });
        ways.collect()
    }

    /// Refuses a `content` that has something of its own where a hole is: it would be left out.
    pub fn check(&self, content: &Path) -> Result<()> {
        for hole in &self.0 {
            let at = content.join(hole);
            let is_nothing = match std::fs::symlink_metadata(&at) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    true
                }
                Err(error) => return Err(error.into()),
                Ok(found) => found.is_dir() && std::fs::read_dir(&at)?.next().is_none(),
            };
            if !is_nothing {
                anyhow::bail!(
                    "the restore point has data at `{}`, and what is there now is to stay as it is",
                    hole.display()
                );
            }
        }
        Ok(())
    }

    /// Takes away what `content` has in the place of holes, and the ways to them. All else must have left it.
    pub fn remove_from(&self, content: &Path) {
        let ways = self.way_paths();
        for path in self.0.iter().chain(ways.iter().rev()) {
            // What is not empty keeps `content` from being removed, which is told.
            let _ = std::fs::remove_dir(content.join(path));
        }
    }
}

/// Makes the directories of `ways` in `kept`, closed to others until [`give`] gives them their attributes.
pub fn make(ways: &[Way], kept: &Path) -> Result<()> {
    for way in ways {
        let path = kept.join(&way.path);
        if std::fs::symlink_metadata(&path).is_err() {
            make_private(&path)?;
        }
    }
    Ok(())
}

/// Gives the ways in `folder` attributes, the innermost first.
pub fn give<'a>(
    ways: &'a [Way],
    folder: &Path,
    which: impl Fn(&'a Way) -> Option<&'a Attributes>,
) -> Result<()> {
    for way in ways.iter().rev() {
        if let Some(attributes) = which(way) {
            attributes.set(&folder.join(&way.path))?;
        }
    }
    Ok(())
}

/// Removes the directories of `ways` from `kept`, which everything has left.
pub fn remove(ways: &[Way], kept: &Path) -> Result<()> {
    for way in ways.iter().rev() {
        let path = kept.join(&way.path);
        match std::fs::remove_dir(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes those directories of `ways` from `folder` in which nothing is.
pub fn remove_empty(ways: &[Way], folder: &Path) {
    for way in ways.iter().rev() {
        let _ = std::fs::remove_dir(folder.join(&way.path));
    }
}

/// What is in `folder` and is replaced, by its path; `is_left_out` is asked for entries of `folder` itself.
pub fn list(
    folder: &Path,
    holes: &Holes,
    is_left_out: impl Fn(&std::ffi::OsStr, &std::fs::Metadata) -> bool,
) -> std::io::Result<Vec<(OsString, std::fs::Metadata)>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let (path, metadata) = (below.join(entry.file_name()), entry.metadata()?);
            let is_top = below.as_os_str().is_empty();
            if holes.is_one(&path) || (is_top && is_left_out(&entry.file_name(), &metadata)) {
            } else if holes.is_way(&path) && metadata.is_dir() {
                open.push(path);
            } else {
                found.push((path.into_os_string(), metadata));
            }
        }
    }
    Ok(found)
}
