//! The free space that spools leave to others: the services are up while kopia drains, and write to the same disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So much is given until the disk is asked again.
const STEP: u64 = 64 << 20;
/// Nor is an answer older than this trusted: others write too.
const FRESH: Duration = Duration::from_secs(1);
/// How soon a disk without enough space is asked again.
const SOON: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Floor {
    folder: PathBuf,
    /// Bytes that stay free.
    floor: u64,
    /// What may still be written before the disk is asked again.
    left: u64,
    /// That is all that there was when it was asked.
    is_scarce: bool,
    asked: Option<Instant>,
}

impl Floor {
    /// Of the disk of `folder`: a tenth of it or 4 GiB, whichever is more, but never more than a quarter.
    pub fn of(folder: &Path) -> rustix::io::Result<Self> {
        let disk = rustix::fs::statvfs(folder)?;
        let size = disk.f_blocks.saturating_mul(disk.f_frsize);
        Ok(Self::at(folder, bytes(size)))
    }

    pub(super) fn at(folder: &Path, floor: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            floor,
            left: 0,
            is_scarce: false,
            asked: None,
        }
    }

    /// What is free above it now.
    pub fn above(&self) -> rustix::io::Result<u64> {
        Ok(free(&self.folder)?.saturating_sub(self.floor))
    }

    /// How much may be written now; it need not be told more exactly than whether it is `wanted`.
    pub(super) fn left(&mut self, wanted: u64) -> u64 {
        let age = self.asked.map(|asked| asked.elapsed());
        // A step that is used up, at the speed of memory, is no reason to wait; only a disk that has no more is.
        let is_known = age.is_some_and(|age| {
            age < FRESH && (self.left >= wanted || (self.is_scarce && age < SOON))
        });
        if !is_known {
            // A disk that does not tell is left to its own ENOSPC.
            let above = self.above().unwrap_or(STEP);
            self.left = above.min(STEP);
            self.is_scarce = above < STEP;
            self.asked = Some(Instant::now());
        }
        self.left
    }

    /// Whether the disk had little left when it was last asked.
    pub(super) fn is_scarce(&self) -> bool {
        self.is_scarce
    }

    pub(super) fn take(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// What others than root may use.
pub(super) fn free(folder: &Path) -> rustix::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn bytes(disk: u64) -> u64 {
    (disk / 10).max((4 << 30).min(disk / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_keeps_a_quarter_and_a_large_one_a_tenth() {
        const GIB: u64 = 1 << 30;
        assert_eq!(bytes(4 * GIB), GIB);
        assert_eq!(bytes(30 * GIB), 4 * GIB);
        assert_eq!(bytes(1000 * GIB), 100 * GIB);
    }

    #[test]
    fn a_disk_that_has_enough_keeps_nobody_waiting_however_fast_it_is_filled() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(folder.path()).unwrap() > 2 * STEP);
        let mut floor = Floor::at(folder.path(), 0);
        for _ in 0..50 {
            assert!(floor.left(STEP / 4) >= STEP / 4);
            floor.take(STEP / 4);
        }
    }
}
