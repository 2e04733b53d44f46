//! What the kernel says of a file: as long as it is the same, so is the file, where the rules of [`proof`](super::proof) hold.

use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::list::{Item, number, put_number, put_signed, signed};

#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// 0 is that of the source: numbers of devices change when a machine is started.
    pub device: u64,
    pub inode: u64,
    /// 0 of a directory: it says nothing of what is in it.
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    pub changed: i64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// 0 of a directory.
    pub links: u64,
    /// Of a device file.
    pub special: u64,
    /// What there is to be read of a file: its size less its holes. No proof: it changes when a file system gives blocks to what was
    /// written before.
    pub content: u64,
}

/// Enough of a hash that no two records are taken for the same.
pub type Digest = [u8; 16];

impl Stat {
    pub fn of(stat: &rustix::fs::Stat) -> Self {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: if is_directory {
                0
            } else {
                stat.st_size.cast_unsigned()
            },
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            links: if is_directory { 0 } else { stat.st_nlink },
            special: stat.st_rdev,
            content: if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let blocks = stat.st_blocks.cast_unsigned();
                stat.st_size.cast_unsigned().min(blocks.saturating_mul(512))
            } else {
                0
            },
        }
    }

    /// With the device told by whether it is `root`.
    pub fn relative_to(mut self, root: u64) -> Self {
        self.device = if self.device == root { 0 } else { self.device };
        self
    }

    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    pub fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// The bits of the mode that say what it is.
    pub fn type_bits(&self) -> u32 {
        self.mode & 0o170_000
    }

    /// Whether it is one of several names of a file.
    pub fn is_linked(&self) -> bool {
        self.links > 1
    }

    /// The end of the time in which what it is now was made. A file system that counts in seconds says nothing of what came within one.
    pub fn changed_until(&self) -> i64 {
        const SECOND: i64 = 1_000_000_000;
        if self.changed % SECOND == 0 {
            self.changed.saturating_add(SECOND - 1)
        } else {
            self.changed
        }
    }

    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::with_capacity(96);
        self.put_proof(&mut bytes);
        let hash = Sha256::digest(&bytes);
        let mut digest = Digest::default();
        digest
            .iter_mut()
            .zip(hash)
            .for_each(|(to, from)| *to = from);
        digest
    }

    fn put_proof(&self, out: &mut Vec<u8>) {
        let numbers = [self.device, self.inode, self.size, self.links, self.special];
        numbers.into_iter().for_each(|it| put_number(out, it));
        let small = [self.mode, self.uid, self.gid];
        small.into_iter().for_each(|it| put_number(out, it.into()));
        put_signed(out, self.modified);
        put_signed(out, self.changed);
    }
}

/// A time that does not fit in, after the year 2262, is never proof: [`proof`](super::proof) refuses what is far in the future.
fn nanoseconds(seconds: i64, nanoseconds: u64) -> i64 {
    let part = i64::try_from(nanoseconds).unwrap_or(i64::MAX);
    seconds.saturating_mul(1_000_000_000).saturating_add(part)
}

impl Item for Stat {
    fn put(&self, out: &mut Vec<u8>) {
        self.put_proof(out);
        put_number(out, self.content);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            device: number(from)?,
            inode: number(from)?,
            size: number(from)?,
            links: number(from)?,
            special: number(from)?,
            mode: number(from)?.try_into().ok()?,
            uid: number(from)?.try_into().ok()?,
            gid: number(from)?.try_into().ok()?,
            modified: signed(from)?,
            changed: signed(from)?,
            content: number(from)?,
        })
    }
}
