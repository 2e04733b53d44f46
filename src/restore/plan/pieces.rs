//! Files and directories of a source that are restored without the rest of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use crate::base::text::printable;
use crate::error::{Exit, Failure, Result};
use crate::swap::attributes::{modified, set_modified};

/// What is taken out of a stream, and what of that takes the place of something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// Paths in the source; empty for the whole of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathBuf>,
    /// The one among what was taken out that is put in place, with all that is below; `None` for the root of it.
    #[serde(skip)]
    pub take: Option<PathBuf>,
}

impl Piece {
    /// All of `paths`, with the directories above them.
    pub fn tree(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            take: None,
        }
    }
}

/// How `paths` are put back below `root`: each by itself, or with the first directory above it that is missing. Blocks.
pub fn in_place(root: &Path, paths: &[PathBuf]) -> Result<Vec<Piece>> {
    let mut pieces: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in paths {
        let take = first_missing(root, path)?.unwrap_or_else(|| path.clone());
        pieces.entry(take).or_default().push(path.clone());
    }
    let pieces = pieces.into_iter().map(|(take, paths)| Piece {
        paths,
        take: Some(take),
    });
    Ok(pieces.collect())
}

/// The first part of `path` that is not there below `root`; `None` when all of it is.
fn first_missing(root: &Path, path: &Path) -> Result<Option<PathBuf>> {
    let mut seen = PathBuf::new();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        seen.push(part);
        let whole = root.join(&seen);
        match std::fs::symlink_metadata(&whole) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Some(seen)),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot access `{}`", whole.display()));
            }
            Ok(metadata) if parts.peek().is_some() && !metadata.is_dir() => {
                return Err(Failure::new(
                    Exit::UnitsFailed,
                    format!(
                        "`{}` cannot be put back: `{}` is not a directory",
                        root.join(path).display(),
                        whole.display()
                    ),
                )
                .hint("move that away, or take the file to another place with `--target DIR`")
                .note("nothing was changed")
                .into());
            }
            Ok(_) => {}
        }
    }
    Ok(None)
}

/// Arguments that make tar take `paths` alone, with the directories above them, so that these get their own modes and owners.
pub fn members(paths: &[PathBuf]) -> Vec<std::ffi::OsString> {
    let member = |path: &Path| Path::new(".").join(path).into_os_string();
    let mut folders: Vec<PathBuf> = paths
        .iter()
        .flat_map(|path| path.ancestors().skip(1))
        .map(Path::to_owned)
        .collect();
    folders.sort();
    folders.dedup();
    let mut arguments: Vec<std::ffi::OsString> =
        ["--no-wildcards", "--no-unquote", "--no-recursion"]
            .map(Into::into)
            .into();
    arguments.extend(folders.iter().map(|folder| member(folder)));
    arguments.push("--recursion".into());
    arguments.extend(paths.iter().map(|path| member(path)));
    arguments
}

/// Of one that no part of its source has, or only one that is gone later.
pub fn not_there(path: &Path) -> anyhow::Error {
    let what = printable(&path.to_string_lossy());
    absent()
        .caused_by(anyhow::anyhow!("`{what}` was not found"))
        .into()
}

fn absent() -> Failure {
    Failure::new(
        Exit::NothingMatched,
        "not all of these paths are in the restore point",
    )
    .hint("give each as it is in the volume, relative to its root: upper and lower case count")
}

/// Says in our words what tar said of members that were asked for.
pub fn explain(error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let failure = if text.contains(": Not found in archive") {
        absent()
    } else if text.contains("Cannot hard link to") {
        Failure::new(
            Exit::UnitsFailed,
            "a file is another name (hard link) of one that was not asked for",
        )
        .hint("take both: a second `--path` with the name in the text below")
    } else {
        return error;
    };
    failure.caused_by(error).into()
}

/// Moves `take` out of what was extracted into `unpacked`, and the rest away.
pub fn take_out(unpacked: &Path, take: &Path, content: &Path) -> Result<()> {
    let mut whole = unpacked.to_owned();
    for part in take.components() {
        // An archive may mean harm: the way must not lead through a link.
        let is_folder = std::fs::symlink_metadata(&whole).is_ok_and(|found| found.is_dir());
        if !is_folder {
            anyhow::bail!(
                "in the point, `{}` is not below a directory",
                take.display()
            );
        }
        whole.push(part);
    }
    let time = modified(&whole)?;
    std::fs::rename(&whole, content)
        .with_context(|| format!("`{}` is not in the point", take.display()))?;
    set_modified(content, time)?;
    std::fs::remove_dir_all(unpacked)
        .with_context(|| format!("cannot remove `{}`", unpacked.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_above_a_file_comes_with_it() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("there/sub")).unwrap();
        std::fs::write(root.path().join("there/file"), "x").unwrap();
        let paths = ["there/file", "there/sub/new", "gone/a", "gone/b/c"].map(PathBuf::from);
        let pieces = in_place(root.path(), &paths).unwrap();
        let takes: Vec<_> = pieces
            .iter()
            .map(|piece| {
                (
                    piece.take.as_deref().unwrap().to_str().unwrap(),
                    piece.paths.len(),
                )
            })
            .collect();
        assert_eq!(
            takes,
            [("gone", 2), ("there/file", 1), ("there/sub/new", 1)]
        );
        std::os::unix::fs::symlink("/etc", root.path().join("link")).unwrap();
        for hostile in ["link/passwd", "there/file/x"] {
            assert!(in_place(root.path(), &[hostile.into()]).is_err());
        }
        assert_eq!(in_place(root.path(), &["link".into()]).unwrap().len(), 1);
    }

    #[test]
    fn nothing_is_taken_out_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        let (outside, unpacked) = (root.path().join("outside"), root.path().join("unpacked"));
        std::fs::create_dir_all(outside.join("sub")).unwrap();
        std::fs::create_dir(&unpacked).unwrap();
        std::os::unix::fs::symlink(&outside, unpacked.join("link")).unwrap();
        let content = root.path().join("content");
        assert!(take_out(&unpacked, Path::new("link/sub"), &content).is_err());
        assert!(outside.join("sub").exists());
        assert!(take_out(&unpacked, Path::new("nothing"), &content).is_err());
        take_out(&unpacked, Path::new("link"), &content).unwrap();
        assert!(content.is_symlink() && !unpacked.exists() && outside.exists());
    }
}
