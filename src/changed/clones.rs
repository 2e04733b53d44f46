//! Large files that the window would have to read are cloned there instead, on XFS: a clone shares the blocks of its file, takes no time,
//! and is read when services run again. It has no name: nobody sees it, and it is gone however we end.
//!
//! Not on btrfs: its clones miss what a disk has written into a mapped file past everybody (DMA), however often that is written out before.
//!
//! From then on what services write to such a file goes to other blocks. Clones are made only where there is room for that, and never of a
//! file that is in many pieces: each night would make more of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::LazyLock;

use anyhow::Context as _;
use rustix::fs::ioctl_ficlone;
use rustix::ioctl;

use super::ground::{Root, unnamed};
use super::lease;
use super::list::below;
use super::look::Look;
use super::stat::Stat;
use crate::base::activity::Activity;
use crate::base::fault;
use crate::drivers::tar::{self, NewMember};
use crate::error::Result;

/// What is smaller is read.
const LARGE: u64 = if cfg!(test) { 1 } else { 8 << 20 };
/// Each is an open file.
const MOST: usize = 128;
/// Of a file that is in more pieces the clone would take about as long as reading it.
const MOST_PIECES_PER_MEBIBYTE: u64 = 100;
/// What a file system keeps for itself may be more than nothing.
const ROOM_TO_SPARE: u64 = 1 << 30;

/// When clones are made instead of reading.
#[derive(Clone, Copy, Debug)]
pub enum Cloning {
    Never,
    /// Of so many bytes in large files.
    From(u64),
}

impl Cloning {
    /// Whether a window in which `large` bytes would have to be read makes clones.
    pub fn is_worth(self, large: u64) -> bool {
        matches!(self, Self::From(least) if large >= least.max(1))
    }
}

/// A clone, as its file was when it was made.
#[derive(Debug)]
pub struct Cloned {
    file: File,
    stat: Stat,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// By path.
pub type Clones = BTreeMap<Vec<u8>, Cloned>;

/// One that has neither other names nor holes.
fn is_large(stat: &Stat) -> bool {
    static AT_LEAST: LazyLock<u64> = LazyLock::new(|| fault::bytes("large_file").unwrap_or(LARGE));
    let has_holes = stat.content != stat.size;
    stat.is_file() && !stat.is_linked() && !has_holes && stat.content >= *AT_LEAST
}

/// What a clone would spare the window.
pub fn large_bytes(stat: &Stat) -> u64 {
    if is_large(stat) { stat.content } else { 0 }
}

/// Whether the file system of `root` clones all that a file holds. Blocks.
pub fn are_possible(root: &Root) -> bool {
    if !root.is_xfs {
        return false;
    }
    let cloned = || {
        let (directory, from) = root.writable()?;
        (&from).write_all(&[1; 4096]).ok()?;
        ioctl_ficlone(unnamed(directory).ok()?, &from).ok()
    };
    cloned().is_some()
}

/// Clones the large files that `look` would have to read, the largest first, where that is worth it. What cannot be cloned is left to be
/// read. Blocks.
pub fn take(root: &Root, look: &Look, cloning: Cloning) -> Result<Clones> {
    if !cloning.is_worth(look.new_bytes) {
        return Ok(Clones::new());
    }
    let mut large = Largest::default();
    look.each_listed(u8::MAX, |path, stat| {
        if is_large(stat) && stat.device == 0 {
            large.add(path, stat);
        }
        Ok(())
    })?;
    let all: u64 = large.0.keys().map(|(size, _)| size).sum();
    if !cloning.is_worth(all) || !has_room(root, all) {
        return Ok(Clones::new());
    }
    // Through one name: older kernels clone within one mount alone.
    let Some((directory, _)) = root.writable() else {
        return Ok(Clones::new());
    };
    let clones = large.0.into_iter().rev();
    Ok(clones
        .filter_map(|((_, path), stat)| {
            let clone = Cloned::of(root, &directory, &path, &stat)?;
            Some((path, clone))
        })
        .collect())
}

/// The largest files, by size.
#[derive(Default)]
struct Largest(BTreeMap<(u64, Vec<u8>), Stat>);

impl Largest {
    fn add(&mut self, path: &[u8], stat: &Stat) {
        self.0.insert((stat.size, path.to_vec()), *stat);
        if self.0.len() > MOST {
            self.0.pop_first();
        }
    }
}

/// Everything that is written to the files meanwhile needs a place. Where somebody is counted up what they have, a clone would be too.
fn has_room(root: &Root, bytes: u64) -> bool {
    let spare = fault::bytes("room_to_spare").unwrap_or(ROOM_TO_SPARE);
    let Ok(room) = rustix::fs::fstatvfs(root) else {
        return false;
    };
    !root.has_quotas && room.f_bavail.saturating_mul(room.f_frsize) >= bytes.saturating_add(spare)
}

impl Cloned {
    /// `None` where it has to be read.
    fn of(root: &Root, directory: &OwnedFd, path: &[u8], seen: &Stat) -> Option<Self> {
        let original = lease::open_beneath(directory.as_fd(), below(path)).ok()?;
        let pieces = pieces(&original).ok()?;
        if pieces.saturating_sub(1) << 20 > seen.size.saturating_mul(MOST_PIECES_PER_MEBIBYTE) {
            return None;
        }
        let attributes = attributes(&original)?;
        let file = unnamed(directory).ok()?;
        ioctl_ficlone(&file, &original).ok()?;
        // What was cloned is what was seen.
        let now = rustix::fs::fstat(&original).ok()?;
        let now = Stat::of(&now).relative_to(root.stat.device);
        let length = file.metadata().ok()?.len();
        let is_same = now.digest() == seen.digest() && length == seen.size;
        is_same.then_some(Self {
            file,
            stat: *seen,
            attributes,
        })
    }

    fn member<'a>(&'a self, path: &'a [u8]) -> NewMember<'a> {
        NewMember {
            name: path,
            size: self.stat.size,
            modified: self.stat.modified,
            mode: self.stat.mode & 0o7777,
            uid: self.stat.uid,
            gid: self.stat.gid,
            attributes: &self.attributes,
        }
    }
}

/// Of the content.
pub fn bytes(clones: &Clones) -> u64 {
    clones.values().map(|clone| clone.stat.size).sum()
}

/// Writes all of them as tar would, and gives each back when it is written; returns the length of the stream. Blocks.
pub fn write(clones: Clones, sink: &OwnedFd, moved: &Activity) -> Result<u64> {
    let mut sink = File::from(sink.try_clone()?);
    let mut written = 0;
    for (path, clone) in clones {
        let header = clone.member(&path).header()?;
        sink.write_all(&header)?;
        let size = clone.stat.size;
        let name = String::from_utf8_lossy(&path);
        let copied = copy(&clone.file, &mut sink, moved);
        let copied = copied.with_context(|| format!("the clone of `{name}` cannot be read"))?;
        if copied != size {
            anyhow::bail!("the clone of `{name}` has {copied} bytes and not {size}");
        }
        tar::fill_up(&mut sink, size)?;
        written += header.len() as u64 + size.next_multiple_of(512);
    }
    Ok(written + tar::end(&mut sink)?)
}

/// What is moved at once: then somebody is told.
const PIECE: u64 = 4 << 20;

fn copy(mut file: &File, sink: &mut File, moved: &Activity) -> io::Result<u64> {
    let mut copied = 0;
    loop {
        let piece = io::copy(&mut Read::by_ref(&mut file).take(PIECE), sink)?;
        if piece == 0 {
            return Ok(copied);
        }
        copied += piece;
        moved.add(piece);
    }
}

/// `None` where tar might not read them as they are.
fn attributes(file: &OwnedFd) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let names = whole(|buffer| rustix::fs::flistxattr(file, buffer))?;
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    names
        .map(|name| {
            let is_plain = !name.iter().any(|byte| matches!(byte, b'=' | b'%'));
            let value = whole(|buffer| rustix::fs::fgetxattr(file, name, buffer))?;
            is_plain.then(|| (name.to_vec(), value))
        })
        .collect()
}

/// No list of names and no value is longer.
const LONGEST: usize = 64 * 1024;

fn whole(get: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>) -> Option<Vec<u8>> {
    let mut buffer = vec![0; LONGEST];
    let length = match get(&mut buffer) {
        Ok(length) => length,
        Err(rustix::io::Errno::NOTSUP) => 0,
        Err(_) => return None,
    };
    buffer.truncate(length);
    Some(buffer)
}

/// In how many pieces it lies on its disk.
#[expect(unsafe_code, reason = "no library asks for it")]
fn pieces(file: impl AsFd) -> rustix::io::Result<u64> {
    /// `struct fiemap` without a place for pieces: they are counted alone.
    #[repr(C)]
    struct Map {
        start: u64,
        length: u64,
        flags: u32,
        mapped: u32,
        places: u32,
        reserved: u32,
    }
    const COUNT: ioctl::Opcode = ioctl::opcode::read_write::<Map>(b'f', 11);
    let mut map = Map {
        start: 0,
        length: u64::MAX,
        flags: 0,
        mapped: 0,
        places: 0,
        reserved: 0,
    };
    // SAFETY: the kernel reads and writes the structure of this call, and nothing behind it, since it has no places.
    unsafe { ioctl::ioctl(file, ioctl::Updater::<COUNT, Map>::new(&mut map))? };
    Ok(map.mapped.into())
}
