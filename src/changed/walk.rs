//! Goes through a source as tar does, in the order of its names, and asks the kernel of each file.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::vec::IntoIter;

use anyhow::Context as _;

use super::ahead::{self, Ahead, Listing, Promised};
use super::list::below;
use super::stat::Stat;
use crate::error::Result;
use crate::model::exclude::Excludes;

/// Each directory on the way is open.
const DEEPEST: usize = 400;

/// One that is being gone through.
struct Level {
    entries: IntoIter<(CString, Stat, Option<Promised>)>,
    /// Of its path.
    length: usize,
}

/// Calls `each` with every path below the directory `root`, itself first as `.`, that `excludes` does not leave out, but sockets. What is
/// mounted in it is named and not entered. What vanishes meanwhile is left out. Blocks.
pub fn walk(
    root: BorrowedFd<'_>,
    excludes: &Excludes,
    is_cancelled: &dyn Fn() -> bool,
    each: impl FnMut(&[u8], &Stat) -> Result<()>,
) -> Result<()> {
    let device = rustix::fs::fstat(root)
        .context("the source cannot be looked at")?
        .st_dev;
    let walking = Walking {
        device,
        excludes,
        ahead: Ahead::default(),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| walking.ahead.work(device));
        // Also when something panics: the other thread is waited for.
        let _ending = Ending(&walking.ahead);
        walking.go(root, is_cancelled, each)
    })
}

struct Ending<'a>(&'a Ahead);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Walking<'a> {
    /// Of the root.
    device: u64,
    excludes: &'a Excludes,
    ahead: Ahead,
}

impl Walking<'_> {
    fn go(
        &self,
        root: BorrowedFd<'_>,
        is_cancelled: &dyn Fn() -> bool,
        mut each: impl FnMut(&[u8], &Stat) -> Result<()>,
    ) -> Result<()> {
        let top = rustix::fs::fstat(root).context("the source cannot be looked at")?;
        let mut path = b".".to_vec();
        each(&path, &Stat::of(&top).relative_to(self.device))?;
        let first = ahead::read(root, c".", self.device).with_context(|| unreadable(&path))?;
        let first = first.context("the source is gone")?;
        let mut levels = vec![self.enter(first, &path)];
        while let Some(level) = levels.last_mut() {
            path.truncate(level.length);
            let Some((name, found, promised)) = level.entries.next() else {
                levels.pop();
                continue;
            };
            if is_cancelled() {
                anyhow::bail!("the walk was given up");
            }
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            each(&path, &found)?;
            let Some(promised) = promised else {
                continue;
            };
            if levels.len() >= DEEPEST {
                anyhow::bail!("{} lies deeper than {DEEPEST} directories", shown(&path));
            }
            let read = self.ahead.take(&promised, self.device);
            if let Some(listing) = read.with_context(|| unreadable(&path))? {
                levels.push(self.enter(listing, &path));
            }
        }
        Ok(())
    }

    /// What is in the directory at `path`, without what is left out. Its directories are read meanwhile.
    fn enter(&self, listing: Listing, path: &[u8]) -> Level {
        let Listing { directory, entries } = listing;
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|(name, _)| !self.is_left_out(path, name))
            .map(|(name, found)| {
                let below = self.promised(&directory, &name, &found);
                (name, found, below)
            })
            .collect();
        let below: Vec<Promised> = entries
            .iter()
            .filter_map(|(.., below)| below.clone())
            .collect();
        self.ahead.promise(below.into_iter());
        Level {
            entries: entries.into_iter(),
            length: path.len(),
        }
    }

    fn promised(&self, above: &Arc<OwnedFd>, name: &CString, found: &Stat) -> Option<Promised> {
        // 0 is the device of the root.
        let is_entered = found.is_directory() && found.device == 0;
        is_entered.then(|| Promised::new(above, name))
    }

    fn is_left_out(&self, directory: &[u8], name: &CString) -> bool {
        if self.excludes.is_empty() {
            return false;
        }
        let path = [directory, b"/", name.as_bytes()].concat();
        self.excludes.matches(below(&path))
    }
}

fn unreadable(path: &[u8]) -> String {
    format!("{} cannot be read", shown(path))
}

/// For people.
pub fn shown(path: &[u8]) -> String {
    format!("`{}`", below(path).to_string_lossy().escape_debug())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::fd::AsFd as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::*;

    fn walked(root: &Path, exclude: &[&str]) -> Vec<(Vec<u8>, Stat)> {
        let exclude: Vec<String> = exclude.iter().map(|it| (*it).to_owned()).collect();
        let opened = std::fs::File::open(root).unwrap();
        let mut found = Vec::new();
        let excludes = Excludes::new(&exclude);
        walk(opened.as_fd(), &excludes, &|| false, |path, stat| {
            found.push((path.to_vec(), *stat));
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn everything_is_told_once_and_in_order_and_what_is_excluded_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for number in 0..300 {
            let name = format!("{}/{}/{}", number % 7, number % 50, number);
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(
                root.join(format!("{}/{}/{number}", number % 7, number % 50)),
                "x",
            )
            .unwrap();
        }
        let odd = root.join(OsStr::from_bytes(b"\xff\n"));
        std::fs::create_dir_all(odd.join("cache/deep")).unwrap();
        std::fs::create_dir(root.join("1-2")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let all = walked(root, &[]);
        let mut paths: Vec<_> = all.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(
            paths.len(),
            1 + 7
                + 300
                + (0..300)
                    .map(|n| (n % 7, n % 50))
                    .collect::<std::collections::BTreeSet<_>>()
                    .len()
                + 4
        );
        assert!(paths.is_sorted_by(|a, b| super::super::list::order(a, b).is_lt()));
        for (path, stat) in &all {
            let metadata = root
                .join(OsStr::from_bytes(path))
                .symlink_metadata()
                .unwrap();
            assert_eq!((stat.inode, stat.device), (metadata.ino(), 0));
        }
        let some = walked(root, &["cache", "3/*", "./1"]);
        paths.retain(|path| {
            let text = String::from_utf8_lossy(path).into_owned();
            !text.contains("cache")
                && !text.contains("/3/")
                && text != "./1"
                && !text.starts_with("./1/")
        });
        let left: Vec<_> = some.into_iter().map(|(path, _)| path).collect();
        assert_eq!(left, paths);
    }

    #[test]
    fn a_tree_that_is_too_deep_or_given_up_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut deep = folder.path().to_owned();
        for _ in 0..500 {
            deep.push("d");
        }
        std::fs::create_dir_all(deep).unwrap();
        let root = std::fs::File::open(folder.path()).unwrap();
        let nothing = Excludes::default();
        let is_deep = walk(root.as_fd(), &nothing, &|| false, |_, _| Ok(()));
        assert!(format!("{:#}", is_deep.unwrap_err()).contains("deeper than"));
        assert!(walk(root.as_fd(), &nothing, &|| true, |_, _| Ok(())).is_err());
    }
}
