//! How much of a disk is free.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::Result;

/// With less nothing can be written that deserves the name.
const NEEDED: u64 = 64 << 20;
/// With less, or under a twentieth of the disk, it needs attention.
const COMFORT: u64 = 512 << 20;

#[derive(Clone, Copy, Debug)]
pub struct Space {
    pub device: u64,
    pub total: u64,
    pub free: u64,
    pub has_no_inodes: bool,
}

impl Space {
    /// Of the nearest directory that is there: the rest is made when it is needed. Blocks for as long as the disk does.
    pub fn at(path: &Path) -> Result<Self> {
        let there = path
            .ancestors()
            .find(|ancestor| ancestor.exists())
            .unwrap_or(Path::new("/"));
        let disk = rustix::fs::statvfs(there)?;
        Ok(Self {
            device: there.metadata()?.dev(),
            total: disk.f_blocks.saturating_mul(disk.f_frsize),
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            // Some file systems count none.
            has_no_inodes: disk.f_files > 0 && disk.f_favail == 0,
        })
    }

    pub fn is_full(&self) -> bool {
        self.has_no_inodes || self.free < NEEDED
    }

    pub fn is_nearly_full(&self) -> bool {
        self.is_full() || self.free < COMFORT || self.free < self.total / 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_nearly_full_below_a_twentieth_or_half_a_gibibyte() {
        let space = |free: u64, total: u64| Space {
            device: 0,
            total,
            free,
            has_no_inodes: false,
        };
        assert!(!space(60 << 30, 1000 << 30).is_nearly_full());
        assert!(space(40 << 30, 1000 << 30).is_nearly_full());
        assert!(space(400 << 20, 1 << 30).is_nearly_full());
        assert!(!space(400 << 20, 1 << 30).is_full());
        assert!(space(1 << 20, 1 << 30).is_full());
        let no_inodes = Space {
            has_no_inodes: true,
            ..space(1 << 40, 1 << 41)
        };
        assert!(no_inodes.is_full() && no_inodes.is_nearly_full());
    }
}
