//! How much a source holds.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::error::Result;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// What a reader of the data gets: holes left out, hard links counted once.
    pub bytes: u64,
    /// Everything that is not a folder.
    pub files: u64,
    /// Folders that `tar --one-file-system` does not go into. Subvolumes (btrfs) are found only here: they are in no
    /// mount table.
    pub other_file_systems: Vec<PathBuf>,
    /// Folders that could not be read.
    pub unreadable: u64,
}

/// Walks `path` on a thread of its own; what vanishes meanwhile is not counted. `exclude` are patterns as
/// `tar --exclude` takes them. Dropping the future ends the walk. There is no limit in time: bound it from outside.
pub async fn measure(path: &Path, exclude: &[String]) -> Result<Size> {
    let (sender, size) = oneshot::channel();
    let path = path.to_owned();
    let exclude = tar_patterns(exclude);
    std::thread::Builder::new()
        .name("measure".to_owned())
        .spawn(move || {
            let walked = walk(&path, &exclude, || sender.is_closed());
            let _ = sender.send(walked);
        })?;
    Ok(size.await?)
}

fn walk(root: &Path, exclude: &GlobSet, is_cancelled: impl Fn() -> bool) -> Size {
    let mut size = Size::default();
    let Ok(top) = std::fs::metadata(root) else {
        return size;
    };
    if !top.is_dir() {
        size.bytes = stored(&top);
        size.files = 1;
        return size;
    }
    let mut links: HashSet<u64> = HashSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        if is_cancelled() {
            break;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else {
            size.unreadable += u64::from(folder.symlink_metadata().is_ok());
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if path
                .strip_prefix(root)
                .is_ok_and(|below| exclude.is_match(below))
            {
                continue;
            }
            if metadata.dev() != top.dev() {
                size.other_file_systems.push(path);
            } else if metadata.is_dir() {
                folders.push(path);
            } else {
                size.files += 1;
                if metadata.nlink() == 1 || links.insert(metadata.ino()) {
                    size.bytes += stored(&metadata);
                }
            }
        }
    }
    size.other_file_systems.sort();
    size
}

/// The length, or the blocks in use when there are fewer: a sparse file.
fn stored(metadata: &Metadata) -> u64 {
    if metadata.is_file() {
        metadata.len().min(metadata.blocks().saturating_mul(512))
    } else {
        0
    }
}

/// GNU tar's rules for `--exclude`: a pattern may begin at any component, and `*` also matches `/`.
fn tar_patterns(patterns: &[String]) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
        for glob in [pattern.to_owned(), format!("**/{pattern}")] {
            // A pattern that is no glob to us excludes nothing here: the size is an upper bound.
            if let Ok(glob) = GlobBuilder::new(&glob).literal_separator(false).build() {
                builder.add(glob);
            }
        }
    }
    builder.build().unwrap_or_else(|_| GlobSet::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn holes_and_second_links_are_not_counted_and_excludes_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("a/cache/deep")).unwrap();
        std::fs::write(root.join("a/one"), vec![1; 5000]).unwrap();
        std::fs::hard_link(root.join("a/one"), root.join("again")).unwrap();
        std::fs::write(root.join("a/cache/deep/big"), vec![1; 100_000]).unwrap();
        std::fs::write(root.join("x.log"), vec![1; 7000]).unwrap();
        std::os::unix::fs::symlink("/", root.join("root")).unwrap();
        std::fs::File::create(root.join("hole"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();

        let all = measure(root, &[]).await.unwrap();
        assert_eq!((all.bytes, all.files), (112_000, 6));
        let exclude = ["a/cache".to_owned(), "*.log".to_owned()];
        let some = measure(root, &exclude).await.unwrap();
        assert_eq!((some.bytes, some.files), (5000, 4));
        let file = measure(&root.join("x.log"), &[]).await.unwrap();
        assert_eq!((file.bytes, file.files), (7000, 1));
        assert_eq!(
            measure(&root.join("gone"), &[]).await.unwrap(),
            Size::default()
        );
    }

    #[tokio::test]
    async fn another_file_system_is_named_and_not_entered() {
        let size = measure(Path::new("/proc/self/.."), &["*".to_owned()])
            .await
            .unwrap();
        assert_eq!(size.files, 0);
        let size = measure(Path::new("/sys/kernel"), &["[a-zA-Z]*/*/*".to_owned()])
            .await
            .unwrap();
        assert!(
            size.other_file_systems
                .iter()
                .all(|path| path.starts_with("/sys/kernel"))
        );
    }
}
