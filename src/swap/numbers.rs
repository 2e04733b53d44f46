//! Whether a file system numbers its inodes for good. Unions over FUSE (mergerfs) derive a number from the path, some network file systems
//! make them up at each mount: there a number tells nothing after a rename or a boot, and names have to.

use anyhow::Context as _;

use super::journal::{Swap, inode};
use super::staging;
use crate::error::Result;

/// File systems (`statfs`) whose numbers may be others after a boot, whatever they are now: FUSE, CIFS, SMB2, SMB, overlayfs, FAT, exFAT.
const CHANGING: [i64; 7] = [
    0x6573_5546,
    0xFF53_4D42,
    0xFE53_4D42,
    0x517B,
    0x794C_7630,
    0x4D44,
    0x2011_BAB0,
];

/// Whether what is moved where `swap` moves it keeps its number. Leaves nothing behind. Blocks.
pub fn last(swap: &Swap) -> Result<bool> {
    let folder = swap.parent();
    let disk = rustix::fs::statfs(folder)
        .with_context(|| format!("cannot access `{}`", folder.display()))?;
    if CHANGING.contains(&(disk.f_type as i64 & 0xFFFF_FFFF)) {
        return Ok(false);
    }
    // A safety copy that is put back has no staging folder: one is made for the probe.
    let is_borrowed = inode(&swap.staging)?.is_none();
    if is_borrowed {
        staging::make_for_probe(swap)?;
    }
    let (one, other) = (swap.staging.join("probe"), swap.staging.join("moved"));
    let probe = || -> Result<bool> {
        std::fs::create_dir(&one)?;
        let before = inode(&one)?;
        std::fs::rename(&one, &other)?;
        let after = inode(&other)?;
        std::fs::remove_dir(&other)?;
        Ok(before == after)
    };
    let is_kept = probe().with_context(|| format!("`{}` cannot be used", swap.staging.display()));
    if is_borrowed {
        staging::remove(swap)?;
    }
    is_kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BackupId;

    #[test]
    fn a_disk_keeps_its_numbers_and_the_probe_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let swap = Swap::new("v".to_owned(), root.path().join("v"), id);
        let is_overlay = rustix::fs::statfs(root.path()).unwrap().f_type as i64 == 0x794C_7630;
        assert_eq!(last(&swap).unwrap(), !is_overlay);
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        staging::make(&swap).unwrap();
        last(&swap).unwrap();
        assert_eq!(std::fs::read_dir(&swap.staging).unwrap().count(), 0);
    }
}
