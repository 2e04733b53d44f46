//! What a file system has left, and which places share it: subvolumes and datasets have numbers of their own, and one pool. `f_fsid` does
//! not tell: btrfs and ZFS give each of them another one.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::discovery::mount_table::MountTable;
use crate::error::Result;

const MEBIBYTE: u64 = 1 << 20;
const GIBIBYTE: u64 = 1 << 30;
/// What others write while it is short of space: no disk needs more of it.
const LARGEST_RESERVE: u64 = 50 * GIBIBYTE;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The same for all that share one.
    pub name: String,
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl Pool {
    /// That of `folder`, with its links resolved. Blocks.
    pub fn of(folder: &Path, mounts: &MountTable) -> Result<Self> {
        let look = || -> std::io::Result<Self> {
            let disk = rustix::fs::statvfs(folder)?;
            let device = std::fs::metadata(folder)?.dev();
            Ok(Self {
                name: name(folder, device, mounts),
                free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
                total_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
            })
        };
        look().with_context(|| format!("cannot access `{}`", folder.display()))
    }

    /// What stays free for others: 5 %, at least 1 GiB (of a small disk a tenth), at most 50 GiB.
    pub fn reserve_bytes(&self) -> u64 {
        let least = GIBIBYTE.min(self.total_bytes / 10);
        (self.total_bytes / 20).max(least).min(LARGEST_RESERVE)
    }
}

fn name(folder: &Path, device: u64, mounts: &MountTable) -> String {
    let Some(mount) = mounts.of(folder) else {
        return device.to_string();
    };
    let source = mount.source.to_string_lossy();
    match mount.fs_type.as_str() {
        "btrfs" => format!("btrfs {source}"),
        "zfs" => format!("zfs {}", source.split('/').next().unwrap_or_default()),
        _ => device.to_string(),
    }
}

/// How far the free space may fall while it is written to: `needed_bytes` were to fit beside the reserve. Where they do not, and that
/// was agreed to, others keep a little of what there is.
pub fn floor_bytes(needed_bytes: u64, free_bytes: u64, reserve_bytes: u64) -> u64 {
    if needed_bytes.saturating_add(reserve_bytes) <= free_bytes {
        return reserve_bytes;
    }
    (reserve_bytes / 10).min(free_bytes / 2).min(256 * MEBIBYTE)
}

/// Free bytes of the file system of `folder`. Blocks.
pub fn free_bytes(folder: &Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot access `{}`", folder.display()))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subvolumes_and_datasets_share_a_pool_and_other_file_systems_do_not() {
        let table = "1 0 0:1 / / rw - ext4 /dev/vda rw\n\
            2 1 0:50 /@a /srv/a rw - btrfs /dev/sdb rw\n\
            3 1 0:51 /@b /srv/b rw - btrfs /dev/sdb rw\n\
            4 1 0:52 / /tank rw - zfs tank rw\n\
            5 4 0:53 / /tank/db rw - zfs tank/db rw\n\
            6 1 0:54 / /other rw - zfs other/x rw\n";
        let mounts = MountTable::parse(table.as_bytes());
        let name = |path: &str, device| super::name(Path::new(path), device, &mounts);
        assert_eq!(name("/srv/a/x", 50), name("/srv/b", 51));
        // A subvolume that is not mounted by itself has a number of its own too.
        assert_eq!(name("/srv/a/sub", 99), name("/srv/a", 50));
        assert_eq!(name("/tank/db/x", 53), name("/tank/y", 52));
        assert_ne!(name("/tank", 52), name("/other", 54));
        assert_ne!(name("/", 1), name("/mnt", 2), "by the number");
    }

    #[test]
    fn a_reserve_suits_the_disk() {
        let reserve = |total_bytes| {
            let pool = Pool {
                name: String::new(),
                free_bytes: 0,
                total_bytes,
            };
            pool.reserve_bytes()
        };
        assert_eq!(reserve(100 * MEBIBYTE), 10 * MEBIBYTE);
        assert_eq!(reserve(10 * GIBIBYTE), GIBIBYTE);
        assert_eq!(reserve(15 * GIBIBYTE), GIBIBYTE);
        assert_eq!(reserve(100 * GIBIBYTE), 5 * GIBIBYTE);
        assert_eq!(reserve(40_000 * GIBIBYTE), LARGEST_RESERVE);
        assert_eq!(floor_bytes(10, 100, 20), 20);
        assert_eq!(floor_bytes(90, 100, 20), 2);
        assert_eq!(floor_bytes(1, 2, 20), 1);
    }
}
