//! Which file systems are mounted where, from `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::io::BufRead as _;
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
    /// Of the mount and of the file system, such as `rw,relatime,rw`.
    pub options: String,
}

/// File systems that have what they hold on a disk of this host, or in its memory.
const LOCAL: [&str; 11] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "rootfs", "tmpfs", "xfs", "zfs",
];

/// File systems that have what they hold on another host.
const REMOTE: [&str; 15] = [
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "davfs",
    "fuse.davfs",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "lustre",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
];

impl MountEntry {
    /// Whether what it holds outlives this host. Not what is not known: FUSE is also in front of disks.
    pub fn is_remote(&self) -> bool {
        REMOTE.contains(&self.fs_type.as_str())
    }
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
            let of_mount = String::from_utf8_lossy(fields.next()?);
            let mut after = fields.skip_while(|field| *field != b"-").skip(1);
            let fs_type = after.next()?;
            Some(MountEntry {
                point,
                device,
                root,
                fs_type: String::from_utf8_lossy(fs_type).into_owned(),
                source: unescape(after.next().unwrap_or_default()),
                options: format!(
                    "{of_mount},{}",
                    String::from_utf8_lossy(after.next().unwrap_or_default())
                ),
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

    /// Whether a look at `path`, when it has no links in it, asks neither a server nor a process that may not answer.
    pub fn is_local(&self, path: &Path) -> bool {
        let mut above = self
            .entries
            .iter()
            .filter(|entry| is_within(path, &entry.point));
        above.all(|entry| LOCAL.contains(&entry.fs_type.as_str()))
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
pub struct Outline(Vec<u8>);

impl Outline {
    pub fn read() -> Self {
        Self(std::fs::read("/proc/self/mountstats").unwrap_or_default())
    }

    /// The places at which it is not known that `later` is the same. What is mounted comes last.
    pub fn changed(&self, later: &Self) -> Vec<PathBuf> {
        let mut lines = later.lines().peekable();
        let gone = self.lines().filter(|line| lines.next_if_eq(line).is_none());
        let mut changed: Vec<PathBuf> = gone.filter_map(point).collect();
        changed.extend(lines.filter_map(point));
        changed
    }

    /// One for each mount. The others, figures of network file systems, begin with a blank.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        let lines = std::iter::from_fn(move || {
            let from = rest;
            // Many bytes at once, which a split does not look at.
            let length = rest.skip_until(b'\n').ok().filter(|length| *length > 0)?;
            from.get(..length)
        });
        lines.filter(|line| line.first().is_some_and(|byte| !byte.is_ascii_whitespace()))
    }
}

/// `device nas:/export mounted on /srv with fstype nfs4 statvers=1.1`; no blank is in a name.
fn point(line: &[u8]) -> Option<PathBuf> {
    const BEFORE: &[u8] = b" mounted on ";
    let at = line.windows(BEFORE.len()).position(|part| part == BEFORE)?;
    let point = line.get(at + BEFORE.len()..)?;
    point.split(|byte| *byte == b' ').next().map(unescape)
}

/// Whether one of `a` and `b` is, or is in, the other one. For absolute paths without `.`, `..` and `//`.
pub fn is_around(a: &Path, b: &Path) -> bool {
    is_within(a, b) || is_within(b, a)
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
    use crate::base::testing::damaged;
    use proptest::prelude::*;

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
    fn a_mount_has_options() {
        let table = MountTable::parse(TABLE);
        assert_eq!(
            table.of(Path::new("/")).unwrap().options,
            "rw,relatime,rw,discard"
        );
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
    fn a_share_is_on_another_host_and_a_disk_behind_fuse_is_not() {
        let table = MountTable::parse(
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
              2 1 0:40 / /nas rw - nfs4 nas:/export rw\n\
              3 1 0:41 / /ssh rw - fuse.sshfs nas: rw\n\
              4 1 0:42 / /pool rw - fuse.mergerfs a:b rw\n",
        );
        let is_remote = |path: &str| table.of(Path::new(path)).unwrap().is_remote();
        let paths = ["/a", "/nas/a", "/ssh/a", "/pool/a"];
        assert_eq!(paths.map(is_remote), [false, true, true, false]);
    }

    #[test]
    fn only_a_path_on_local_file_systems_all_the_way_is_local() {
        let table = MountTable::parse(
            b"1 0 8:1 / / rw - ext4 a rw\n\
2 1 0:9 / /srv rw - zfs pool/data rw\n\
3 2 0:10 / /srv/odd rw - fuse.zfs pool/data rw\n\
4 1 0:11 / /nas rw - nfs4 nas:/x rw\n\
5 4 0:12 / /nas/cache rw - tmpfs tmpfs rw\n",
        );
        for (path, is_local) in [
            ("/var/lib/docker", true),
            ("/srv/data", true),
            ("/srv/odd", false),
            ("/srv/oddity", true),
            ("/nas", false),
            ("/nas/cache/a", false),
        ] {
            assert_eq!(table.is_local(Path::new(path)), is_local, "{path}");
        }
    }

    #[test]
    fn an_outline_tells_where_something_else_is_mounted() {
        const BEFORE: &str = "device /dev/vda mounted on / with fstype ext4\n\
            device nas:/x mounted on /mnt/a\\040b with fstype nfs4 statvers=1.1\n\topts: rw\n\tage: 7\n\
            device on mounted on /srv with fstype tmpfs\n\
            no device mounted on /odd with fstype odd\n";
        let changed = |later: &str| {
            let of = |text: &str| Outline(text.as_bytes().to_vec());
            let changed = of(BEFORE).changed(&of(later));
            changed
                .iter()
                .map(|point| point.display().to_string())
                .collect::<Vec<_>>()
        };
        assert!(changed(&BEFORE.replace("age: 7", "age: 8")).is_empty());
        let more = format!("{BEFORE}device tmpfs mounted on /mnt/a\\040b/c with fstype tmpfs\n");
        assert_eq!(changed(&more), ["/mnt/a b/c"]);
        let replaced = BEFORE.replace("nas:/x", "nas:/y");
        assert!(changed(&replaced).contains(&"/mnt/a b".to_owned()));
        let gone = BEFORE.replace("device on mounted on /srv with fstype tmpfs\n", "");
        assert_eq!(changed(&gone), ["/srv"]);
        assert!(
            changed("").contains(&"/odd".to_owned()),
            "all of it is gone"
        );
        assert!(Outline::read().lines().next().is_some());
    }

    #[test]
    fn a_path_is_around_those_above_and_below_it_and_no_namesake() {
        let is_around = |a: &str, b: &str| is_around(Path::new(a), Path::new(b));
        for (a, b) in [("/", "/srv"), ("/srv/a", "/srv"), ("/srv", "/srv")] {
            assert!(is_around(a, b) && is_around(b, a), "{a} {b}");
        }
        assert!(!is_around("/srv/a", "/srv/ab") && !is_around("/srv", "/mnt"));
    }

    proptest! {
        #[test]
        fn no_table_breaks_it(bytes in damaged(TABLE)) {
            let table = MountTable::parse(&bytes);
            let _ = table.of(Path::new("/mnt/my disk/a"));
            let outline = Outline(bytes);
            prop_assert!(outline.changed(&outline).is_empty());
        }
    }
}
