//! Whether something was written to a place since a moment, by its inodes: by any process, and whether or not it still exists.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use super::attributes::modified;
use super::journal::Swap;
use super::{marks, within};
use crate::error::Result;

/// Whether what `swap` has at its target, old or new, was written to since the swaps were decided. Blocks, for as long as it takes to
/// look at every inode.
pub fn target(swap: &Swap, decided_at: DateTime<Utc>) -> Result<bool> {
    if let Some(within) = &swap.within {
        return within::is_changed(swap, within, decided_at);
    }
    // Names that came and went.
    let known = [swap.old_modified, swap.new_modified];
    let root = modified(&swap.target)?;
    if root.is_some() && known != [None, None] && !known.contains(&root) {
        return Ok(true);
    }
    since(&swap.target, decided_at)
}

/// Of a directory its content counts: a rename changes its own inode. Our own directories in it do not count, and neither do other file
/// systems.
pub fn since(path: &Path, moment: DateTime<Utc>) -> Result<bool> {
    let moment = nanoseconds(moment.timestamp(), moment.timestamp_subsec_nanos().into());
    let look = || -> std::io::Result<bool> {
        let root = match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            root => root?,
        };
        if !root.is_dir() {
            return Ok(nanoseconds(root.mtime(), root.mtime_nsec()) > moment);
        }
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let metadata = match entry.metadata() {
                    // A process is writing.
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
                    metadata => metadata?,
                };
                if marks::is_own(&entry.file_name(), &metadata) || metadata.dev() != root.dev() {
                    continue;
                }
                if changed(&metadata) > moment {
                    return Ok(true);
                }
                if metadata.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(false)
    };
    look().with_context(|| format!("`{}` cannot be searched", path.display()))
}

/// This time cannot be set.
fn changed(metadata: &Metadata) -> i128 {
    nanoseconds(metadata.ctime(), metadata.ctime_nsec())
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_after_a_moment_is_seen_and_what_only_says_so_is_not() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        std::fs::create_dir_all(data.join("a/b")).unwrap();
        std::fs::write(data.join("a/b/file"), "x").unwrap();
        let future = std::time::SystemTime::now() + std::time::Duration::from_secs(1 << 20);
        let file = std::fs::File::open(data.join("a/b/file")).unwrap();
        file.set_modified(future).unwrap();
        // The clock of files goes in steps.
        while std::fs::metadata(data.join("a/b/file"))
            .unwrap()
            .ctime_nsec()
            == {
                std::fs::write(root.path().join("clock"), "x").unwrap();
                std::fs::metadata(root.path().join("clock"))
                    .unwrap()
                    .ctime_nsec()
            }
        {}
        let moment = Utc::now();
        assert!(!since(&data, moment).unwrap());
        let moved = root.path().join("moved");
        std::fs::rename(&data, &moved).unwrap();
        assert!(!since(&moved, moment).unwrap(), "a rename is no write");
        assert!(!since(&root.path().join("nothing"), moment).unwrap());
        let own = moved.join(".kopi-docka-before-2026-01-02T03-04-05Z");
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("x"), "x").unwrap();
        assert!(!since(&moved, moment).unwrap(), "ours");
        std::fs::remove_file(moved.join("a/b/file")).unwrap();
        assert!(since(&moved, moment).unwrap(), "a file is gone");
    }
}
