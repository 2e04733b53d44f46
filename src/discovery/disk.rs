//! Which rotating disks a path is on. Two readers on one make each other wait for the head; on flash many are faster.
//!
//! As far as sysfs tells: through partitions, device-mapper, md, loop devices and the devices of a btrfs. A disk that is made up by a
//! hypervisor says that it rotates and knows nothing: it counts as one that does not, like everything unknown.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::mount_table::MountTable;

/// Names of disks, such as `sda`, in one order for all who take turns on them.
pub type Disks = BTreeSet<String>;

/// As deep as anything is stacked.
const DEEPEST: usize = 8;

/// The rotating disks below `path`. Asks the file system that it is on, which may not answer: not on the main thread.
pub fn rotating(path: &Path) -> Disks {
    let mut disks = Disks::new();
    Sysfs(PathBuf::from("/sys")).of_path(path, &mut disks, DEEPEST);
    disks
}

struct Sysfs(PathBuf);

impl Sysfs {
    fn of_path(&self, path: &Path, disks: &mut Disks, depth: usize) {
        let Ok(metadata) = std::fs::metadata(path) else {
            return;
        };
        let number = metadata.dev();
        if rustix::fs::major(number) != 0 {
            return self.of_number(number, disks, depth);
        }
        // btrfs and others with several devices have a number of their own.
        let Ok(path) = path.canonicalize() else {
            return;
        };
        let table = MountTable::read();
        let Some(entry) = table.of(&path) else {
            return;
        };
        match entry.source.metadata() {
            Ok(device) if device.file_type().is_block_device() => {
                for number in self.siblings(device.rdev()) {
                    self.of_number(number, disks, depth);
                }
            }
            _ => {}
        }
    }

    /// All devices of the btrfs that has the device `number`, or that one alone.
    fn siblings(&self, number: u64) -> Vec<u64> {
        let own = self.folder(number);
        let file_systems = list(&self.0.join("fs/btrfs"));
        let members = file_systems.into_iter().map(|folder| {
            let links = list(&folder.join("devices")).into_iter();
            links
                .filter_map(|link| link.canonicalize().ok())
                .collect::<Vec<_>>()
        });
        let numbers =
            |members: Vec<PathBuf>| members.iter().filter_map(|one| self::number(one)).collect();
        members
            .into_iter()
            .find(|members| own.as_ref().is_some_and(|own| members.contains(own)))
            .map_or_else(|| vec![number], numbers)
    }

    fn folder(&self, number: u64) -> Option<PathBuf> {
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let link = self.0.join(format!("dev/block/{major}:{minor}"));
        link.canonicalize().ok()
    }

    fn of_number(&self, number: u64, disks: &mut Disks, depth: usize) {
        if let Some(folder) = self.folder(number) {
            self.of_device(&folder, disks, depth);
        }
    }

    /// `folder` is the device's, without links.
    fn of_device(&self, folder: &Path, disks: &mut Disks, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        if folder.join("partition").exists() {
            if let Some(disk) = folder.parent() {
                self.of_device(disk, disks, depth);
            }
            return;
        }
        let slaves = list(&folder.join("slaves"));
        for slave in slaves.iter().filter_map(|link| link.canonicalize().ok()) {
            self.of_device(&slave, disks, depth);
        }
        if let Ok(file) = std::fs::read_to_string(folder.join("loop/backing_file")) {
            return self.of_path(Path::new(file.trim_end()), disks, depth);
        }
        let rotates = std::fs::read_to_string(folder.join("queue/rotational"));
        let is_rotating = rotates.is_ok_and(|text| text.trim() == "1");
        if slaves.is_empty()
            && is_rotating
            && let Some(name) = folder.file_name()
        {
            let name = name.to_string_lossy();
            if !["vd", "xvd", "nbd", "zram", "ram"]
                .iter()
                .any(|one| name.starts_with(one))
            {
                disks.insert(name.into_owned());
            }
        }
    }
}

/// `8:1`, in the file `dev` of a device.
fn number(folder: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(folder.join("dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some(rustix::fs::makedev(
        major.parse().ok()?,
        minor.parse().ok()?,
    ))
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: PathBuf, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A flash and two rotating disks, each with a partition, a RAID over the latter, and a volume on it.
    fn sysfs(root: &Path) -> Sysfs {
        std::fs::create_dir_all(root.join("dev/block")).unwrap();
        let add = |number: &str, folder: &str, rotates: Option<&str>, slaves: &[&str]| {
            let device = root.join("devices").join(folder);
            write(device.join("dev"), number);
            match rotates {
                Some(rotates) => write(device.join("queue/rotational"), rotates),
                None => write(device.join("partition"), "1"),
            }
            for slave in slaves {
                std::fs::create_dir_all(device.join("slaves")).unwrap();
                let name = Path::new(slave).file_name().unwrap();
                symlink(
                    root.join("devices").join(slave),
                    device.join("slaves").join(name),
                )
                .unwrap();
            }
            symlink(&device, root.join("dev/block").join(number)).unwrap();
        };
        add("259:0", "nvme0n1", Some("0"), &[]);
        add("259:1", "nvme0n1/nvme0n1p1", None, &[]);
        add("8:0", "sda", Some("1\n"), &[]);
        add("8:1", "sda/sda1", None, &[]);
        add("8:16", "sdb", Some("1\n"), &[]);
        add("8:17", "sdb/sdb1", None, &[]);
        add("9:0", "md0", Some("1\n"), &["sda/sda1", "sdb/sdb1"]);
        add("253:0", "dm-0", Some("1\n"), &["md0"]);
        add("254:0", "vda", Some("1\n"), &[]);
        let members = root.join("fs/btrfs/some-id/devices");
        std::fs::create_dir_all(&members).unwrap();
        symlink(root.join("devices/sda/sda1"), members.join("sda1")).unwrap();
        symlink(
            root.join("devices/nvme0n1/nvme0n1p1"),
            members.join("nvme0n1p1"),
        )
        .unwrap();
        Sysfs(root.to_owned())
    }

    #[test]
    fn what_is_stacked_is_followed_down_to_the_disks_that_rotate() {
        let folder = tempfile::tempdir().unwrap();
        let sysfs = sysfs(folder.path());
        for (major, minor, expected) in [
            (259, 1, &[][..]),
            (8, 1, &["sda"]),
            (253, 0, &["sda", "sdb"]),
            (254, 0, &[]),
            (7, 7, &[]),
        ] {
            let mut disks = Disks::new();
            sysfs.of_number(rustix::fs::makedev(major, minor), &mut disks, DEEPEST);
            assert!(disks.iter().eq(expected), "{major}:{minor}: {disks:?}");
        }
        assert_eq!(sysfs.siblings(rustix::fs::makedev(8, 1)).len(), 2);
        assert_eq!(sysfs.siblings(rustix::fs::makedev(8, 17)).len(), 1);
    }
}
