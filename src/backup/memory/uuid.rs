//! Which disk is which. A device number or a name such as `/dev/sdb1` may be another disk's after a reboot.
//!
//! From udev's database and sysfs, which a service sees as well as a shell: `/dev` of our units is their own and has no disks
//! (`PrivateDevices=`). Where udev keeps no database, from the links in `/dev/disk`. Asks no disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const UDEV: &str = "/run/udev/data";
const SYSFS: &str = "/sys/dev/block";
const LINKS: &str = "/dev/disk/by-uuid";
const BY_UUID: &str = "disk/by-uuid/";

/// The disks of this host that have a UUID: every name in `/dev`, without that, and what it stands for.
#[derive(Debug, Default)]
pub struct Uuids(BTreeMap<PathBuf, String>);

impl Uuids {
    pub fn read() -> Self {
        let known = Self::of_udev(Path::new(UDEV), Path::new(SYSFS));
        if known.0.is_empty() {
            Self::of_links(Path::new(LINKS))
        } else {
            known
        }
    }

    /// Each block device has a file `b8:17`, in which the lines `S:` are the links to it.
    fn of_udev(database: &Path, sysfs: &Path) -> Self {
        let mut uuids = BTreeMap::new();
        for entry in std::fs::read_dir(database).into_iter().flatten().flatten() {
            let file_name = entry.file_name();
            let Some(number) = file_name.to_str().and_then(|name| name.strip_prefix('b')) else {
                continue;
            };
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let links = || text.lines().filter_map(|line| line.strip_prefix("S:"));
            let Some(uuid) = links().find_map(|link| link.strip_prefix(BY_UUID)) else {
                continue;
            };
            let event = std::fs::read_to_string(sysfs.join(number).join("uevent"));
            let event = event.unwrap_or_default();
            let own = event
                .lines()
                .filter_map(|line| line.strip_prefix("DEVNAME="));
            for name in links().chain(own) {
                uuids.insert(PathBuf::from(name), uuid.to_owned());
            }
        }
        Self(uuids)
    }

    fn of_links(folder: &Path) -> Self {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let pairs = entries.filter_map(|entry| {
            let device = std::fs::canonicalize(entry.path()).ok()?;
            let name = device.strip_prefix("/dev").ok()?.to_owned();
            Some((name, entry.file_name().to_string_lossy().into_owned()))
        });
        Self(pairs.collect())
    }

    /// Of what was mounted, such as `/dev/sdb1` or `/dev/mapper/data`.
    pub fn of(&self, source: &Path) -> Option<String> {
        let name = source.strip_prefix("/dev").ok()?;
        let known = self.0.get(name).or_else(|| {
            // A link that only the mount table knows.
            let device = std::fs::canonicalize(source).ok()?;
            self.0.get(device.strip_prefix("/dev").ok()?)
        })?;
        Some(format!("UUID={known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_by_all_its_names_without_a_look_into_dev() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write(
            "data/b254:3",
            "S:mapper/kdt-data\nS:disk/by-uuid/0a-1b\nE:ID_FS_UUID=0a-1b\nI:7\n",
        );
        write("sys/254:3/uevent", "MAJOR=254\nMINOR=3\nDEVNAME=kdt-dm-3\n");
        write("data/b254:4", "S:disk/by-path/x\n");
        write("sys/254:4/uevent", "DEVNAME=kdt-dm-4\n");
        write("data/c5:1", "S:disk/by-uuid/none\n");
        let uuids = Uuids::of_udev(&folder.path().join("data"), &folder.path().join("sys"));
        let of = |source: &str| uuids.of(Path::new(source));
        for name in ["kdt-dm-3", "mapper/kdt-data", "disk/by-uuid/0a-1b"] {
            assert_eq!(
                of(&format!("/dev/{name}")).as_deref(),
                Some("UUID=0a-1b"),
                "{name}"
            );
        }
        assert_eq!(of("/dev/kdt-dm-4"), None);
        assert_eq!(of("nas:/export"), None);
        assert!(
            Uuids::of_udev(Path::new("/nonexistent"), Path::new("/sys"))
                .0
                .is_empty()
        );
    }
}
