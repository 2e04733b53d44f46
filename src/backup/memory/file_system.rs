//! Where a source is: its file system and the place in it.

use std::path::{Path, PathBuf};

use super::uuid::Uuids;
use crate::discovery::mount_table::{MountEntry, MountTable};
use crate::model::point::FileSystem;

/// Where `path`, with its links resolved, is. `None` where the mount table does not tell.
pub fn of(path: &Path, mounts: &MountTable, uuids: &Uuids) -> Option<FileSystem> {
    let mount = mounts.of(path)?;
    let id = uuids
        .of(&mount.source)
        .unwrap_or_else(|| mount.source.to_string_lossy().into_owned());
    Some(FileSystem {
        kind: mount.fs_type.clone(),
        id,
        path: place_in(mount, path)?,
    })
}

/// The path from the root of the file system: `root` is not `/` for a bind mount and for a subvolume.
fn place_in(mount: &MountEntry, path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix(&mount.point).ok()?;
    Some(if below.as_os_str().is_empty() {
        mount.root.clone()
    } else {
        mount.root.join(below)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
1 0 254:0 / / rw - btrfs /dev/vda rw\n\
2 1 8:1 / /mnt/disk rw - ext4 /dev/none1 rw\n\
3 1 254:0 /@data /srv rw - btrfs /dev/vda rw\n\
4 1 254:0 /var/x /bound rw - btrfs /dev/vda rw\n";

    #[test]
    fn a_mounted_disk_and_the_directory_below_it_are_two_places() {
        let of = |table: &[u8], path: &str| {
            of(
                Path::new(path),
                &MountTable::parse(table),
                &Uuids::default(),
            )
            .unwrap()
        };
        let unmounted = TABLE.split(|byte| *byte == b'\n').next().unwrap();
        let mounted = of(TABLE, "/mnt/disk/photos");
        assert_eq!(
            (
                mounted.kind.as_str(),
                mounted.id.as_str(),
                mounted.path.as_path()
            ),
            ("ext4", "/dev/none1", Path::new("/photos"))
        );
        assert_ne!(mounted, of(unmounted, "/mnt/disk/photos"));
        // A subvolume of the same device.
        assert_ne!(of(TABLE, "/srv"), of(unmounted, "/srv"));
        // By whichever way it is reached.
        assert_eq!(of(TABLE, "/bound/y"), of(TABLE, "/var/x/y"));
    }
}
