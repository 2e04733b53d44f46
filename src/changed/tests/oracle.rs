//! All that a restore has to bring back of a tree.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Everything below `root`, by its path, in words.
pub fn capture(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut groups: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let kind = metadata.file_type();
        let below = path
            .strip_prefix(root)
            .unwrap()
            .as_os_str()
            .as_bytes()
            .to_vec();
        let mut content = String::new();
        if kind.is_dir() {
            pending.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|it| it.unwrap().path()),
            );
        } else if kind.is_symlink() {
            content = format!("{:?}", std::fs::read_link(&path).unwrap());
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            content = format!("{} bytes {:?}", bytes.len(), Sha256::digest(&bytes));
        } else if kind.is_socket() {
            continue;
        }
        if !kind.is_dir() && metadata.nlink() > 1 {
            groups
                .entry(metadata.ino())
                .or_default()
                .push(below.clone());
        }
        let text = format!(
            "mode {:o} owner {}:{} modified {}.{} device {} {:?} {content}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.rdev(),
            attributes(&path),
        );
        found.insert(below, text);
    }
    for mut names in groups.into_values() {
        names.sort();
        let text = format!(" one of {names:?}");
        for name in &names {
            found.get_mut(name).unwrap().push_str(&text);
        }
    }
    found
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    names(path)
        .into_iter()
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, &*name, &mut *value).unwrap();
            value.truncate(length);
            (name, value)
        })
        .collect()
}

pub fn names(path: &Path) -> Vec<String> {
    let mut list = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut *list).unwrap();
    list.truncate(length);
    let names = list
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

/// What is not the same, a line each.
pub fn differences(
    wanted: &BTreeMap<Vec<u8>, String>,
    found: &BTreeMap<Vec<u8>, String>,
) -> Vec<String> {
    let all: std::collections::BTreeSet<_> = wanted.keys().chain(found.keys()).collect();
    all.into_iter()
        .filter(|path| wanted.get(*path) != found.get(*path))
        .map(|path| {
            format!(
                "{:?}\n  wanted {:?}\n  found  {:?}",
                String::from_utf8_lossy(path),
                wanted.get(path),
                found.get(path)
            )
        })
        .collect()
}
