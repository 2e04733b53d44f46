//! Which file systems are mounted where, from `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountTable {
    /// In the order they were mounted; a later one at the same place hides an earlier one.
    entries: Vec<MountEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    pub point: PathBuf,
    /// `8:1`, as the kernel numbers what is mounted.
    pub device: String,
    /// The path within the file system that is mounted here: not `/` for a bind mount or a subvolume. `…//deleted` when it was removed
    /// since.
    pub root: PathBuf,
    /// Such as `ext4` or `nfs4`.
    pub fs_type: String,
    /// What was mounted, such as `/dev/sda1` or `nas:/export`.
    pub source: PathBuf,
}

impl MountTable {
    /// This process's table; empty where there is no `/proc`.
    pub fn read() -> Self {
        Self::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// The format is in `man 5 proc_pid_mountinfo`: fields by blanks, a variable number of them before ` - `.
    pub fn parse(text: &[u8]) -> Self {
        let entries = text.split(|byte| *byte == b'\n').filter_map(|line| {
            let mut fields = line.split(|byte| *byte == b' ');
            let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
            let root = unescape(fields.next()?);
            let point = unescape(fields.next()?);
            let mut after = fields.skip_while(|field| *field != b"-").skip(1);
            let fs_type = after.next()?;
            Some(MountEntry {
                point,
                device,
                root,
                fs_type: String::from_utf8_lossy(fs_type).into_owned(),
                source: unescape(after.next().unwrap_or_default()),
            })
        });
        Self {
            entries: entries.collect(),
        }
    }

    /// What is mounted exactly at `point`.
    pub fn at(&self, point: &Path) -> Option<&MountEntry> {
        self.entries.iter().rfind(|entry| entry.point == point)
    }

    /// The file system that `path` is on, going by its name alone: resolve links first.
    pub fn of(&self, path: &Path) -> Option<&MountEntry> {
        self.entries
            .iter()
            .filter(|entry| path.starts_with(&entry.point))
            // `max_by_key` takes the last of equals: the one on top.
            .max_by_key(|entry| entry.point.components().count())
    }

    /// What is mounted below `path`, `path` itself left out, one entry a place.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a MountEntry> {
        self.entries
            .iter()
            .enumerate()
            .filter(move |(index, entry)| {
                entry.point != path
                    && entry.point.starts_with(path)
                    && !self
                        .entries
                        .iter()
                        .skip(index + 1)
                        .any(|later| later.point == entry.point)
            })
            .map(|(_, entry)| entry)
    }
}

/// What is mounted where, without its number and the path within it, which the kernel tells three times as fast: with hundreds of
/// containers it takes milliseconds to write the whole table.
#[derive(Clone, Debug, Default)]
pub struct Outline(Vec<(PathBuf, Vec<u8>)>);

impl Outline {
    pub fn read() -> Self {
        Self::parse(&std::fs::read("/proc/self/mountstats").unwrap_or_default())
    }

    /// `device nas:/export mounted on /srv with fstype nfs4 statvers=1.1`, and lines of figures that begin with a blank.
    fn parse(text: &[u8]) -> Self {
        const BEFORE: &[u8] = b" mounted on ";
        let lines = text.split(|byte| *byte == b'\n');
        let mounts = lines.filter(|line| line.starts_with(b"device "));
        let points = mounts.filter_map(|line| {
            let at = line.windows(BEFORE.len()).position(|part| part == BEFORE)?;
            let point = line.get(at + BEFORE.len()..)?;
            let point = point.split(|byte| *byte == b' ').next()?;
            Some((unescape(point), line.to_owned()))
        });
        Self(points.collect())
    }

    /// Whether all that is mounted at, above and below `path` is the same in `other`.
    pub fn is_alike(&self, other: &Self, path: &Path) -> bool {
        self.around(path).eq(other.around(path))
    }

    /// Whether a look at `path`, when it has no links in it, asks neither a server nor a process that may not answer.
    pub fn is_local(&self, path: &Path) -> bool {
        const LOCAL: [&[u8]; 11] = [
            b"bcachefs",
            b"btrfs",
            b"ext2",
            b"ext3",
            b"ext4",
            b"f2fs",
            b"overlay",
            b"rootfs",
            b"tmpfs",
            b"xfs",
            b"zfs",
        ];
        let mut above = self.0.iter().filter(|(point, _)| is_within(path, point));
        above.all(|(_, line)| {
            let kind = line.rsplit(|byte| *byte == b' ').next();
            kind.is_some_and(|kind| LOCAL.contains(&kind))
        })
    }

    fn around(&self, path: &Path) -> impl Iterator<Item = &(PathBuf, Vec<u8>)> {
        let mounts = self.0.iter();
        mounts.filter(move |(point, _)| is_within(point, path) || is_within(path, point))
    }
}

/// As [`Path::starts_with`] for absolute paths without `.`, `..` and `//`, but fast.
fn is_within(path: &Path, folder: &Path) -> bool {
    let (path, folder) = (path.as_os_str().as_bytes(), folder.as_os_str().as_bytes());
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/') || folder == b"/")
}

/// The kernel writes blank, tab, newline and backslash as `\040` and the like.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'\\'
            && let Some((digits, after)) = after.split_at_checked(3)
            && let Some(value) = octal(digits)
        {
            bytes.push(value);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"\
22 27 0:21 / /proc rw,relatime - proc proc rw\n\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
40 27 8:1 / /mnt/my\\040disk rw shared:1 master:2 - xfs /dev/sda1 rw\n\
41 40 0:50 /x /mnt/my\\040disk/new\\012line\\134 rw - nfs4 nas:/x rw\n\
42 27 8:2 / /srv rw - ext4 /dev/sdb1 rw\n\
43 27 8:3 / /srv rw - btrfs /dev/sdc1 rw\n\
nonsense\n";

    #[test]
    fn escaped_names_and_optional_fields_are_read() {
        let table = MountTable::parse(TABLE);
        let below: Vec<_> = table.below(Path::new("/mnt")).collect();
        assert_eq!(below[0].point, Path::new("/mnt/my disk"));
        assert_eq!(below[0].fs_type, "xfs");
        assert_eq!(below[0].source, Path::new("/dev/sda1"));
        assert_eq!(below[1].point, Path::new("/mnt/my disk/new\nline\\"));
        assert_eq!(below[1].fs_type, "nfs4");
        assert_eq!(below[1].root, Path::new("/x"));
        assert_eq!(below.len(), 2);
    }

    #[test]
    fn the_innermost_and_latest_mount_is_what_a_path_is_on() {
        let table = MountTable::parse(TABLE);
        assert_eq!(
            table.of(Path::new("/mnt/my disk/a")).unwrap().fs_type,
            "xfs"
        );
        assert_eq!(
            table.of(Path::new("/mnt/my diskette")).unwrap().fs_type,
            "ext4"
        );
        assert_eq!(table.of(Path::new("/srv/a")).unwrap().fs_type, "btrfs");
        assert_eq!(
            table.below(Path::new("/")).count(),
            4,
            "a hidden mount is not listed"
        );
        assert_eq!(table.below(Path::new("/srv")).count(), 0);
    }

    #[test]
    fn only_a_path_on_local_file_systems_all_the_way_is_local() {
        let outline = Outline::parse(
            b"device /dev/vda mounted on / with fstype ext4\n\
device pool/data mounted on /srv with fstype zfs\n\
device pool/data mounted on /srv/odd with fstype fuse.zfs\n\
device nas:/x mounted on /nas with fstype nfs4 statvers=1.1\n\
device tmpfs mounted on /nas/cache with fstype tmpfs\n",
        );
        for (path, is_local) in [
            ("/var/lib/docker", true),
            ("/srv/data", true),
            ("/srv/odd", false),
            ("/srv/oddity", true),
            ("/nas", false),
            ("/nas/cache/a", false),
        ] {
            assert_eq!(outline.is_local(Path::new(path)), is_local, "{path}");
        }
    }

    #[test]
    fn an_outline_tells_what_is_mounted_around_a_path() {
        let before = "device /dev/vda mounted on / with fstype ext4\n\
            device nas:/x mounted on /mnt/a\\040b with fstype nfs4 statvers=1.1\n\topts: rw\n\tage: 7\n";
        let of = |text: &str| Outline::parse(text.as_bytes());
        let (path, other) = (Path::new("/mnt/a b/c"), Path::new("/srv"));
        let is_same = |text: &str, path| of(before).is_alike(&of(text), path);
        assert!(is_same(&before.replace("age: 7", "age: 8"), path));
        for (what, is_same_around, is_same_elsewhere) in [
            (
                "device tmpfs mounted on /mnt/a\\040b/c/d with fstype tmpfs\n",
                false,
                true,
            ),
            (
                "device tmpfs mounted on /mnt/a\\040b/c with fstype tmpfs\n",
                false,
                true,
            ),
            (
                "device tmpfs mounted on /mnt/a\\040b/cd with fstype tmpfs\n",
                true,
                true,
            ),
            (
                "device tmpfs mounted on /srv with fstype tmpfs\n",
                true,
                false,
            ),
            (
                "device tmpfs mounted on / with fstype tmpfs\n",
                false,
                false,
            ),
        ] {
            let now = format!("{before}{what}");
            assert_eq!(is_same(&now, path), is_same_around, "{what}");
            assert_eq!(is_same(&now, other), is_same_elsewhere, "{what}");
        }
        let swapped = before.replace("nas:/x", "nas:/y");
        assert!(!is_same(&swapped, path));
        assert!(Outline::read().around(Path::new("/")).next().is_some());
    }
}
