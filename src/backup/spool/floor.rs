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
        let is_known = age.is_some_and(|age| age < FRESH && (self.left >= wanted || age < SOON));
        if !is_known {
            // A disk that does not tell is left to its own ENOSPC.
            self.left = self.above().unwrap_or(STEP).min(STEP);
            self.asked = Some(Instant::now());
        }
        self.left
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
}
