//! Compares what kopia wrote with what the snapshot says, and gives each thing its owner, mode and time.
//!
//! Not by kopia: it cuts the times of links, and gives a directory the time of the newest thing in it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::tree::Tree;
use crate::drivers::kopia::Entry;
use crate::drivers::losses::{Losses, Tolerance};
use crate::error::Result;
use crate::model::ObjectId;
use crate::model::point::Attributes;

/// Something that has to be there.
#[derive(Debug)]
pub struct Item {
    path: PathBuf,
    attributes: Attributes,
    expected: Expected,
}

#[derive(Debug)]
pub enum Expected {
    /// With exactly what is in this object.
    Folder(ObjectId),
    /// A directory above what was asked for, with that alone in it.
    Above,
    /// Of this length.
    File(u64),
    /// To a path of this length.
    Link(u64),
}

impl Item {
    pub fn new(path: PathBuf, attributes: Attributes, expected: Expected) -> Self {
        Self {
            path,
            attributes,
            expected,
        }
    }

    /// `entry`, at `path`.
    pub fn of(path: PathBuf, entry: &Entry) -> Self {
        let expected = if entry.is_folder() {
            Expected::Folder(entry.obj.clone())
        } else if entry.is_file() {
            Expected::File(entry.size)
        } else {
            Expected::Link(entry.size)
        };
        Self::new(path, entry.attributes(), expected)
    }
}

/// Goes through `items` and all that is below. Ends early when `goes_on`, which is asked for each, says no. Blocks.
pub fn settle(
    tree: &Tree,
    items: Vec<Item>,
    tolerance: Tolerance,
    goes_on: impl Fn() -> bool,
) -> Result<Losses> {
    let mut losses = Losses::default();
    let mut folders = Vec::new();
    let mut items = items;
    while let Some(item) = items.pop() {
        ensure!(goes_on(), "the comparison was ended");
        let path = &item.path;
        let found = std::fs::symlink_metadata(path)
            .with_context(|| format!("kopia did not restore `{}`", path.display()))?;
        let is_as_expected = match &item.expected {
            Expected::Folder(_) | Expected::Above => found.is_dir(),
            Expected::File(bytes) => found.is_file() && found.len() == *bytes,
            Expected::Link(bytes) => found.is_symlink() && found.len() == *bytes,
        };
        if !is_as_expected {
            bail!(
                "`{}` is not what the snapshot says after it was restored",
                path.display()
            );
        }
        match &item.expected {
            Expected::Folder(object) => {
                let entries = tree.folder(object)?;
                compare_names(path, entries)?;
                items.extend(
                    entries
                        .iter()
                        .map(|entry| Item::of(path.join(&entry.name), entry)),
                );
                folders.push(item);
            }
            Expected::Above => folders.push(item),
            Expected::File(_) => losses.extend(set(path, &item.attributes, false, tolerance)?),
            Expected::Link(_) => losses.extend(set(path, &item.attributes, true, tolerance)?),
        }
    }
    // Last, the innermost first: a mode may shut us out, were we not root.
    for item in folders.iter().rev() {
        losses.extend(set(&item.path, &item.attributes, false, tolerance)?);
    }
    Ok(losses)
}

fn compare_names(folder: &Path, entries: &[Entry]) -> Result<()> {
    let mut expected: BTreeSet<OsString> = entries
        .iter()
        .map(|entry| OsString::from(&entry.name))
        .collect();
    let listed =
        std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    for found in listed {
        let name = found?.file_name();
        ensure!(
            expected.remove(&name),
            "`{}` is there after the restore, and is not in the snapshot",
            folder.join(name).display()
        );
    }
    match expected.first() {
        Some(name) => bail!("kopia did not restore `{}`", folder.join(name).display()),
        None => Ok(()),
    }
}

/// Gives `path` its owner, mode and time; a link has no mode. Returns what could not be given, as far as that is tolerated.
pub fn set(
    path: &Path,
    attributes: &Attributes,
    is_link: bool,
    tolerance: Tolerance,
) -> Result<Losses> {
    let mut losses = Losses::default();
    let mut note = |given: rustix::io::Result<()>, what: &str, is_tolerated: bool| {
        let cannot = matches!(
            given,
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
        );
        match given {
            Err(error) if cannot && is_tolerated => {
                losses.add(format!(
                    "{}: Cannot set its {what}: {error}",
                    path.display()
                ));
                Ok(())
            }
            given => given,
        }
    };
    let mut give = || -> rustix::io::Result<()> {
        let owner = (
            Some(Uid::from_raw(attributes.uid)),
            Some(Gid::from_raw(attributes.gid)),
        );
        let given = rustix::fs::chownat(CWD, path, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW);
        note(given, "owner", tolerance.owners)?;
        // After the owner: changing that takes setuid bits away.
        if !is_link {
            let mode = Mode::from_raw_mode(attributes.mode);
            let given = rustix::fs::chmodat(CWD, path, mode, AtFlags::empty());
            note(given, "mode", tolerance.owners)?;
        }
        let time = Timespec {
            tv_sec: attributes.mtime.timestamp(),
            tv_nsec: attributes.mtime.timestamp_subsec_nanos().into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        let given = rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
        note(given, "time", tolerance.attributes)
    };
    give().with_context(|| {
        format!(
            "`{}` cannot be given its owner, mode and time",
            path.display()
        )
    })?;
    Ok(losses)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::super::tree::tests::{entry, tree};
    use super::*;

    fn whole(root: &Path) -> Vec<Item> {
        let attributes = Attributes {
            mode: 0o1777,
            uid: 5,
            gid: 6,
            mtime: chrono::DateTime::from_timestamp(-2, 1).unwrap(),
        };
        let root_object = Expected::Folder(ObjectId::parse("k1").unwrap());
        vec![Item::new(root.to_owned(), attributes, root_object)]
    }

    #[test]
    fn every_difference_between_the_snapshot_and_the_disk_is_found() {
        let tree = tree(&[
            (
                "k1",
                vec![
                    entry("file", "f", "a1", 4),
                    entry("link", "s", "a2", 7),
                    entry("sub", "d", "k2", 0),
                ],
            ),
            ("k2", vec![entry("deep", "f", "a3", 1)]),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let root = folder.path().join(name);
            std::fs::create_dir_all(root.join("sub")).unwrap();
            std::fs::write(root.join("file"), "four").unwrap();
            symlink("nowhere", root.join("link")).unwrap();
            std::fs::write(root.join("sub/deep"), "1").unwrap();
            root
        };
        let good = make("good");
        settle(&tree, whole(&good), Tolerance::NONE, || true).unwrap();
        let of = |path: &str| std::fs::symlink_metadata(good.join(path)).unwrap();
        let root = of("");
        assert_eq!(
            (root.mode() & 0o7777, root.uid(), root.gid()),
            (0o1777, 5, 6)
        );
        assert_eq!((root.mtime(), root.mtime_nsec()), (-2, 1));
        for path in ["file", "link", "sub", "sub/deep"] {
            assert_eq!(of(path).mtime_nsec(), 123_456_789, "{path}");
        }
        assert_eq!(of("sub/deep").mode() & 0o7777, 0o640);

        type Spoil = fn(&Path);
        let spoil: [(&str, Spoil); 6] = [
            ("more", |root| {
                std::fs::write(root.join("more"), "").unwrap()
            }),
            ("less", |root| {
                std::fs::remove_file(root.join("sub/deep")).unwrap()
            }),
            ("longer", |root| {
                std::fs::write(root.join("file"), "longer").unwrap()
            }),
            ("link", |root| {
                std::fs::remove_file(root.join("file")).unwrap();
                symlink("four", root.join("file")).unwrap();
            }),
            ("target", |root| {
                std::fs::remove_file(root.join("link")).unwrap();
                symlink("elsewhere", root.join("link")).unwrap();
            }),
            ("folder", |root| {
                std::fs::remove_file(root.join("sub/deep")).unwrap();
                std::fs::remove_dir(root.join("sub")).unwrap();
                std::fs::write(root.join("sub"), "").unwrap();
            }),
        ];
        for (name, spoil) in spoil {
            let root = make(name);
            spoil(&root);
            assert!(
                settle(&tree, whole(&root), Tolerance::NONE, || true).is_err(),
                "{name}"
            );
        }
        assert!(settle(&tree, whole(&good), Tolerance::NONE, || false).is_err());
    }
}
