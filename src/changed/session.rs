//! Which of its mountings a file system is in. Numbers of mounts and devices are given again as soon as they are free: a disk that was
//! cut off and mounted anew has the same ones, and may have new content under old times.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::ground::OF_PROCESS_1;
use crate::discovery::mount_table::MountEntry;

/// Where the kernel has a directory for each file system, for as long as it is mounted. It never gives such a directory a number twice.
const ALL: [&str; 3] = ["/sys/fs/ext4", "/sys/fs/xfs", "/sys/fs/btrfs"];
/// Before this version of the kernel it did.
const NEVER_TWICE: (u32, u32) = (4, 14);

/// The one that `mount` shows; `None` where that cannot be told. Blocks.
pub fn of(mount: &MountEntry) -> Option<u64> {
    if !is_new_enough(rustix::system::uname().release().to_str().ok()?) {
        return None;
    }
    let folder = match mount.fs_type.as_str() {
        // Most devices have one name; those of a mapper have another one here.
        "btrfs" => of_btrfs(Path::new(mount.source.file_name()?))
            .or_else(|| of_btrfs(&device_name(&number_of(&mount.source)?)?))?,
        other => Path::new("/sys/fs")
            .join(other)
            .join(device_name(&mount.device)?),
    };
    Some(std::fs::metadata(folder).ok()?.ino())
}

/// Those of all file systems that there are. Blocks.
pub fn all() -> BTreeSet<u64> {
    let folders = ALL
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok());
    let entries = folders.flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.metadata().ok()?.ino()))
        .collect()
}

fn is_new_enough(release: &str) -> bool {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    match (next(), next()) {
        (Some(major), Some(minor)) => (major, minor) >= NEVER_TWICE,
        _ => false,
    }
}

/// `8:1` → `sda1`, as the kernel calls it.
fn device_name(number: &str) -> Option<PathBuf> {
    let link = std::fs::read_link(Path::new("/sys/dev/block").join(number)).ok()?;
    link.file_name().map(PathBuf::from)
}

/// A unit has no devices of its own, and process 1 has them all.
fn number_of(device: &Path) -> Option<String> {
    let through = Path::new(OF_PROCESS_1).join(device.strip_prefix("/").ok()?);
    let found = std::fs::metadata(device).or_else(|_| std::fs::metadata(through));
    let number = found.ok()?.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    Some(format!("{major}:{minor}"))
}

/// It goes by its own id, and may lie on several devices.
fn of_btrfs(device: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir("/sys/fs/btrfs").ok()?;
    let mut folders = entries.flatten().map(|entry| entry.path());
    folders.find(|folder| {
        folder
            .join("devices")
            .join(device)
            .symlink_metadata()
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::mount_table::MountTable;

    #[test]
    fn a_kernel_that_gives_numbers_again_is_not_trusted() {
        for release in ["4.14.0", "4.19.0-27-amd64", "6.18.44-fc", "10.0"] {
            assert!(is_new_enough(release), "{release}");
        }
        for release in [
            "3.10.0-1160.el7.x86_64",
            "4.9.0-19-amd64",
            "4",
            "",
            "six.one",
        ] {
            assert!(!is_new_enough(release), "{release}");
        }
    }

    #[test]
    fn a_mounted_file_system_has_one_and_it_stays_the_same() {
        let table = MountTable::read();
        let place = std::env::var_os("KOPI_DOCKA_TREES").unwrap_or_else(|| "/var/tmp".into());
        let mount = table.of(Path::new(&place)).unwrap();
        let is_told = ["ext4", "xfs", "btrfs"].contains(&mount.fs_type.as_str());
        let found = of(mount);
        assert_eq!(found.is_some(), is_told, "{mount:?}");
        assert_eq!(of(mount), found);
        assert!(found.is_none_or(|it| all().contains(&it)));
    }
}
