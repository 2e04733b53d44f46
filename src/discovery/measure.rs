//! How much a source holds.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::sync::oneshot;

use super::holes::Holes;
use crate::error::Result;
use crate::model::exclude::Excludes;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// What a reader of the data gets: holes left out, hard links counted once.
    pub bytes: u64,
    /// Everything that is not a directory.
    pub files: u64,
    /// Directories that `tar --one-file-system` does not go into. Subvolumes (btrfs) are found only here: they are in no
    /// mount table.
    pub other_file_systems: Vec<PathBuf>,
    /// Directories that could not be read.
    pub unreadable: u64,
    /// What its files show of holes.
    #[serde(skip)]
    pub holes: Holes,
}

/// Walks `path` on a thread of its own; what vanishes meanwhile is not counted. `exclude` are an operator's patterns.
/// Dropping the future ends the walk. There is no limit in time: bound it from outside.
pub async fn measure(path: &Path, exclude: &[String]) -> Result<Size> {
    measure_up_to(path, exclude, None).await
}

/// As [`measure`], but ends as soon as there are more bytes than `limit`: the rest is not counted then.
pub async fn measure_up_to(path: &Path, exclude: &[String], limit: Option<u64>) -> Result<Size> {
    let (sender, size) = oneshot::channel();
    let path = path.to_owned();
    let exclude = Excludes::new(exclude);
    let limit = limit.unwrap_or(u64::MAX);
    std::thread::Builder::new()
        .name("measure".to_owned())
        .spawn(move || {
            let walked = walk(&path, &exclude, limit, || sender.is_closed());
            let _ = sender.send(walked);
        })?;
    Ok(size.await?)
}

fn walk(root: &Path, exclude: &Excludes, limit: u64, is_cancelled: impl Fn() -> bool) -> Size {
    let mut size = Size::default();
    let Ok(top) = std::fs::metadata(root) else {
        return size;
    };
    if !top.is_dir() {
        size.bytes = stored(root, &top, &mut size.holes);
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
                .is_ok_and(|below| exclude.matches(below))
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
                    size.bytes += stored(&path, &metadata, &mut size.holes);
                }
            }
            if size.bytes > limit {
                return size;
            }
        }
    }
    size.other_file_systems.sort();
    size
}

/// The length, or the blocks in use when there are fewer because of holes.
fn stored(path: &Path, metadata: &Metadata, holes: &mut Holes) -> u64 {
    if metadata.is_file() {
        metadata.len().saturating_sub(holes.look(path, metadata))
    } else {
        0
    }
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
        assert!(all.holes.are_worth_keeping());
        let exclude = ["a/cache".to_owned(), "*.log".to_owned()];
        let some = measure(root, &exclude).await.unwrap();
        assert_eq!((some.bytes, some.files), (5000, 4));
        let cut = measure_up_to(root, &[], Some(4000)).await.unwrap();
        assert!(cut.bytes > 4000 && cut.files < 6, "{cut:?}");
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
