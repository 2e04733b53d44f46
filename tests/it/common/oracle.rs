//! What a tree is, down to the last attribute, and in what two trees differ. Shares no code with the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};

const BLOCK: u64 = 4096;
/// How much more a copy may occupy: a hole smaller than this is nobody's promise.
const SLACK: u64 = 64 * 1024;
const SHOWN: usize = 20;

type Bytes = Vec<u8>;

/// Every path below a root, relative to it; the root itself is `.`. A single file is a manifest of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest(pub BTreeMap<Bytes, Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: &'static str,
    /// 12 bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Of a device.
    pub rdev: Option<u64>,
    /// Of a file.
    pub size: Option<u64>,
    pub mtime: (i64, i64),
    /// Of a file: SHA-256 over the blocks that are not all zero, each with its offset, so that a hole equals the zeros it stands for.
    pub content: Option<[u8; 32]>,
    /// Of a symlink.
    pub target: Option<Bytes>,
    pub xattrs: BTreeMap<Bytes, Bytes>,
    /// All paths of the tree that are this same inode, when there is more than one.
    pub links: BTreeSet<Bytes>,
    /// Bytes on the disk. Never compared for equality: a copy may occupy less, and a little more.
    pub allocated: u64,
}

/// Reads the whole tree. Panics on anything that cannot be read.
pub fn manifest(root: &Path) -> Manifest {
    let mut manifest = Manifest(BTreeMap::new());
    let mut inodes: BTreeMap<(u64, u64), BTreeSet<Bytes>> = BTreeMap::new();
    let mut todo = vec![(root.to_owned(), b".".to_vec())];
    while let Some((path, name)) = todo.pop() {
        let meta = must(fs::symlink_metadata(&path), "stat", &path);
        if meta.is_dir() {
            for child in must(fs::read_dir(&path), "list", &path) {
                let child = must(child, "list", &path);
                let mut below = if name == b"." {
                    Bytes::new()
                } else {
                    [&name[..], b"/"].concat()
                };
                below.extend(child.file_name().as_bytes());
                todo.push((child.path(), below));
            }
        } else {
            inodes
                .entry((meta.dev(), meta.ino()))
                .or_default()
                .insert(name.clone());
        }
        manifest.0.insert(name, entry(&path, &meta));
    }
    for group in inodes.into_values().filter(|group| group.len() > 1) {
        for path in &group {
            if let Some(entry) = manifest.0.get_mut(path) {
                entry.links = group.clone();
            }
        }
    }
    manifest
}

fn entry(path: &Path, meta: &fs::Metadata) -> Entry {
    let kind = meta.file_type();
    let device = kind.is_char_device() || kind.is_block_device();
    Entry {
        kind: match kind {
            k if k.is_file() => "file",
            k if k.is_dir() => "directory",
            k if k.is_symlink() => "symlink",
            k if k.is_fifo() => "fifo",
            k if k.is_char_device() => "character device",
            k if k.is_block_device() => "block device",
            k if k.is_socket() => "socket",
            _ => "unknown",
        },
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: device.then(|| meta.rdev()),
        size: kind.is_file().then(|| meta.size()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        content: kind.is_file().then(|| content(path, meta.size())),
        target: kind.is_symlink().then(|| {
            must(fs::read_link(path), "read the link", path)
                .as_os_str()
                .as_bytes()
                .to_vec()
        }),
        xattrs: xattrs(path),
        links: BTreeSet::new(),
        allocated: meta.blocks() * 512,
    }
}

fn content(path: &Path, size: u64) -> [u8; 32] {
    let file = must(File::open(path), "open", path);
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK as usize];
    let mut next = 0;
    // Holes are skipped, so that a sparse file costs only its data.
    while let Some(data) = seek(&file, SeekFrom::Data(next), path) {
        let end = seek(&file, SeekFrom::Hole(data), path).unwrap_or(size);
        let mut offset = next.max(data / BLOCK * BLOCK);
        while offset < end {
            let length = BLOCK.min(size - offset) as usize;
            must(
                file.read_exact_at(&mut block[..length], offset),
                "read",
                path,
            );
            if block[..length].iter().any(|&byte| byte != 0) {
                hash.update(offset.to_le_bytes());
                hash.update(&block[..length]);
            }
            offset += BLOCK;
        }
        next = offset;
    }
    hash.finalize().into()
}

/// `None` past the last data.
fn seek(file: &File, to: SeekFrom, path: &Path) -> Option<u64> {
    match rustix::fs::seek(file, to) {
        Err(rustix::io::Errno::NXIO) => None,
        result => Some(must(result, "seek in", path)),
    }
}

fn xattrs(path: &Path) -> BTreeMap<Bytes, Bytes> {
    let mut names = vec![0; 65_536];
    let length = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        result => must(result, "list the xattrs of", path),
    };
    let read = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = must(
            rustix::fs::lgetxattr(path, name, &mut value[..]),
            "read an xattr of",
            path,
        );
        value.truncate(length);
        value
    };
    names[..length]
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| (name.to_vec(), read(name)))
        .collect()
}

impl Manifest {
    /// The entry of `path`; panics when there is none.
    pub fn entry(&self, path: &str) -> &Entry {
        self.0
            .get(path.as_bytes())
            .unwrap_or_else(|| panic!("there is no `{path}` in the tree"))
    }

    /// Only the paths that `keep` wants: for a copy that was meant to leave something out.
    pub fn only(mut self, keep: impl Fn(&[u8]) -> bool) -> Self {
        self.0.retain(|path, _| keep(path));
        self
    }

    /// One line each, `path: attribute: here → there`; `self` is the original, `other` the copy.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let paths: BTreeSet<&Bytes> = self.0.keys().chain(other.0.keys()).collect();
        let mut lines = Vec::new();
        for path in paths {
            let mut found = Vec::new();
            match (self.0.get(path), other.0.get(path)) {
                (Some(a), Some(b)) => a.compare(b, &mut found),
                (Some(a), None) => found.push(format!("{} is missing", a.kind)),
                (None, Some(b)) => found.push(format!("{} is new", b.kind)),
                (None, None) => {}
            }
            lines.extend(
                found
                    .iter()
                    .map(|line| format!("{}: {line}", path.escape_ascii())),
            );
        }
        lines
    }

    /// `self` is the original, `other` the copy.
    #[track_caller]
    pub fn assert_same(&self, other: &Self) {
        let lines = self.differences(other);
        if lines.is_empty() {
            return;
        }
        let mut text = format!("the trees differ in {} things:\n", lines.len());
        for line in lines.iter().take(SHOWN) {
            let _ = writeln!(text, "  {line}");
        }
        if lines.len() > SHOWN {
            let _ = writeln!(text, "  and {} more", lines.len() - SHOWN);
        }
        panic!("{text}");
    }
}

impl Entry {
    fn compare(&self, other: &Self, found: &mut Vec<String>) {
        let mut differ = |what: &str, a: String, b: String| {
            if a != b {
                found.push(format!("{what}: {a} → {b}"));
            }
        };
        differ("type", self.kind.into(), other.kind.into());
        differ(
            "mode",
            format!("{:04o}", self.mode),
            format!("{:04o}", other.mode),
        );
        differ("uid", self.uid.to_string(), other.uid.to_string());
        differ("gid", self.gid.to_string(), other.gid.to_string());
        differ("device", device(self.rdev), device(other.rdev));
        differ(
            "size",
            format!("{:?}", self.size),
            format!("{:?}", other.size),
        );
        differ("mtime", moment(self.mtime), moment(other.mtime));
        differ("content", digest(self.content), digest(other.content));
        differ(
            "target",
            shown(self.target.as_ref()),
            shown(other.target.as_ref()),
        );
        differ("hard links", group(&self.links), group(&other.links));
        for name in self
            .xattrs
            .keys()
            .chain(other.xattrs.keys())
            .collect::<BTreeSet<_>>()
        {
            differ(
                &format!("xattr {}", name.escape_ascii()),
                shown(self.xattrs.get(name)),
                shown(other.xattrs.get(name)),
            );
        }
        if self.size.is_some() && other.allocated > self.allocated + self.allocated / 8 + SLACK {
            found.push(format!(
                "holes: {} bytes on the disk → {}",
                self.allocated, other.allocated
            ));
        }
    }
}

fn device(number: Option<u64>) -> String {
    number.map_or("none".into(), |number| {
        format!(
            "{}:{}",
            rustix::fs::major(number),
            rustix::fs::minor(number)
        )
    })
}

fn moment((seconds, nanoseconds): (i64, i64)) -> String {
    format!("{seconds}+{nanoseconds:09}ns")
}

fn digest(hash: Option<[u8; 32]>) -> String {
    hash.map_or("none".into(), |hash| {
        hash.iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    })
}

/// Short, but never the same for two values that differ.
fn shown(value: Option<&Bytes>) -> String {
    match value {
        None => "none".into(),
        Some(value) if value.len() <= 48 => format!("\"{}\"", value.escape_ascii()),
        Some(value) => format!(
            "\"{}…\" ({} bytes, {})",
            value[..32].escape_ascii(),
            value.len(),
            digest(Some(Sha256::digest(value).into()))
        ),
    }
}

fn group(paths: &BTreeSet<Bytes>) -> String {
    if paths.is_empty() {
        return "none".into();
    }
    paths
        .iter()
        .map(|path| path.escape_ascii().to_string())
        .collect::<Vec<_>>()
        .join(" = ")
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>, what: &str, path: &Path) -> T {
    result.unwrap_or_else(|error| {
        panic!(
            "oracle: cannot {what} {}: {error}",
            path.as_os_str().as_bytes().escape_ascii()
        )
    })
}
