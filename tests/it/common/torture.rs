//! A tree with everything in it that a copy can lose.
//!
//! Whatever the file system refuses is a panic: a test that passes because its hard cases were left out proves nothing.
//! Not in it, because GNU tar keeps none of them: sockets, hard links between FIFOs or devices, `chattr` flags, birth times,
//! paths longer than 4096 bytes.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dev, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat,
    utimensat,
};

/// The highest user id that every file system and archive has to take: 2^31-2.
pub const HIGH_ID: u32 = 0x7fff_fffe;

/// Where the sparse GiB has its data: offset and length of each island.
pub const ISLANDS: [(u64, usize); 3] = [
    (65_536, 5_000),
    (536_870_912 + 123, 8_192),
    (1_073_000_000, 1),
];

pub const SPARSE_BYTES: u64 = 1 << 30;

/// Fills `root`, which is made when it is not there, and gives it an owner, mode, ACL, xattrs and time of its own.
/// 373 entries, 1.2 MiB of data, 0.1 s. Planting twice gives the same tree.
pub fn plant(root: &Path) {
    must(fs::create_dir_all(root), "mkdir", root);
    contents(&sub(root, "contents"));
    links(&sub(root, "links"));
    modes(&sub(root, "modes"));
    xattrs(&sub(root, "xattrs"));
    acls(&sub(root, "acls"));
    capabilities(&sub(root, "capabilities"));
    special(&sub(root, "special"));
    sparse(&sub(root, "sparse"));
    names(&sub(root, "names"));
    deep(&sub(root, "deep"));
    owners(&sub(root, "owners"));
    bait(root);
    let mut number = 0;
    age(root, &mut number);
    // After `age`, which gives every entry some time: here the time is the point.
    times(&sub(root, "times"));
    the_root_itself(root);
}

fn contents(dir: &Path) {
    for size in [0, 1, 511, 512, 513, 4096, 10_240, 1 << 20] {
        write(&dir.join(format!("{size}-bytes")), &noise(size));
    }
    write(&dir.join("zeros-on-disk"), &[0; 65_536]);
    sub(dir, "empty-directory");
}

fn links(dir: &Path) {
    let far = sub(dir, "z/far");
    write(&far.join("first"), b"three names, one file");
    link(&far.join("first"), &dir.join("second"));
    link(&far.join("first"), &sub(dir, "a").join("third"));
    symlink("nowhere/at/all", &dir.join("dangling"));
    symlink("/etc/hostname", &dir.join("absolute"));
    symlink("../../../../etc", &dir.join("upwards"));
    symlink("z/far/first", &dir.join("to-a-file"));
    symlink("z", &dir.join("to-a-directory"));
    symlink("itself", &dir.join("itself"));
    symlink(&"x".repeat(4000), &dir.join("long"));
    symlink("two\nlines \\ \"quoted\"", &dir.join("odd-target"));
    link(&dir.join("dangling"), &dir.join("dangling-again"));
    link(&dir.join("absolute"), &dir.join("absolute-again"));
    let owned = dir.join("owned");
    symlink("second", &owned);
    own(&owned, 1234, 5678);
    xattr(&owned, "trusted.kopi-docka", b"on a symlink");
}

fn modes(dir: &Path) {
    for bits in [
        0o000, 0o400, 0o444, 0o600, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777,
    ] {
        let file = dir.join(format!("file-{bits:04o}"));
        write(&file, b"x");
        // The order matters: a chown clears setuid and setgid.
        own(&file, 1000, 1000);
        mode(&file, bits);
    }
    for bits in [0o000, 0o555, 0o700, 0o1777, 0o2775, 0o3777, 0o4755] {
        let folder = sub(dir, &format!("folder-{bits:04o}"));
        write(&folder.join("inside"), b"x");
        own(&folder, 1000, 1000);
        mode(&folder, bits);
    }
}

fn xattrs(dir: &Path) {
    let file = dir.join("file");
    write(&file, b"x");
    let folder = sub(dir, "folder");
    write(&folder.join("child"), b"x");
    for path in [&file, &folder] {
        xattr(path, "user.text", b"text");
        xattr(path, "user.empty", b"");
        xattr(path, "user.binary", b"\0\n=\xff\"\\\0");
        xattr(path, "user.odd=name%3D\u{e9} *", b"odd");
        xattr(path, "security.kopi-docka", b"security");
        xattr(path, "trusted.kopi-docka", b"\x01\0trusted");
        // ext4 keeps all xattrs of a file in one block of 4 KiB.
        xattr(path, "user.large", &noise(3000));
    }
    let fifo = dir.join("fifo");
    node(&fifo, FileType::Fifo, 0);
    xattr(&fifo, "trusted.kopi-docka", b"on a fifo");
    let locked = dir.join("read-only");
    write(&locked, b"x");
    xattr(
        &locked,
        "user.text",
        b"on a file that its owner cannot write",
    );
    mode(&locked, 0o400);
}

fn acls(dir: &Path) {
    // 1 has a name in /etc/passwd and /etc/group of every Linux, 54321 in none.
    let access = acl(&[
        (USER_OBJ, 6, 0),
        (USER, 4, 1),
        (USER, 6, 54_321),
        (GROUP_OBJ, 4, 0),
        (GROUP, 5, 1),
        (MASK, 6, 0),
        (OTHER, 0, 0),
    ]);
    let file = dir.join("file");
    write(&file, b"x");
    xattr(&file, ACCESS, &access);
    let masked = dir.join("masked");
    write(&masked, b"x");
    xattr(
        &masked,
        ACCESS,
        &acl(&[
            (USER_OBJ, 7, 0),
            (USER, 7, 2),
            (GROUP_OBJ, 7, 0),
            (MASK, 1, 0),
            (OTHER, 0, 0),
        ]),
    );

    // What is below a default ACL must not inherit it a second time: the children were made before it.
    let folder = sub(dir, "with-default");
    write(&folder.join("child-without"), b"x");
    sub(&folder, "folder-without");
    let with = folder.join("child-with");
    write(&with, b"x");
    xattr(&with, ACCESS, &access);
    xattr(
        &folder,
        ACCESS,
        &acl(&[
            (USER_OBJ, 7, 0),
            (USER, 7, 1),
            (GROUP_OBJ, 5, 0),
            (MASK, 7, 0),
            (OTHER, 5, 0),
        ]),
    );
    xattr(
        &folder,
        DEFAULT,
        &acl(&[
            (USER_OBJ, 7, 0),
            (USER, 7, 54_321),
            (GROUP_OBJ, 5, 0),
            (GROUP, 7, 1),
            (MASK, 7, 0),
            (OTHER, 0, 0),
        ]),
    );
    let only_default = sub(dir, "only-default");
    xattr(
        &only_default,
        DEFAULT,
        &acl(&[(USER_OBJ, 7, 0), (GROUP_OBJ, 5, 0), (OTHER, 0, 0)]),
    );
    write(&only_default.join("inherited"), b"x");
}

fn capabilities(dir: &Path) {
    // struct vfs_cap_data, revision 2: cap_net_bind_service+ep, cap_net_raw+p.
    let capability: Vec<u8> = [0x0200_0001_u32, 1 << 10 | 1 << 13, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    for (name, id) in [("of-root", 0), ("of-somebody", 1000)] {
        let file = dir.join(name);
        write(&file, b"x");
        own(&file, id, id);
        mode(&file, 0o755);
        xattr(&file, "security.capability", &capability);
    }
    link(&dir.join("of-somebody"), &dir.join("linked"));
}

fn special(dir: &Path) {
    node(&dir.join("fifo"), FileType::Fifo, 0);
    node(&dir.join("null"), FileType::CharacterDevice, makedev(1, 3));
    node(&dir.join("loop0"), FileType::BlockDevice, makedev(7, 0));
    node(
        &dir.join("high"),
        FileType::CharacterDevice,
        makedev(4_095, 1_048_575),
    );
    node(
        &dir.join("whiteout"),
        FileType::CharacterDevice,
        makedev(0, 0),
    );
    own(&dir.join("null"), 7, 8);
    mode(&dir.join("null"), 0o640);
}

fn sparse(dir: &Path) {
    let islands = dir.join("islands");
    let file = must(fs::File::create(&islands), "create", &islands);
    for (offset, length) in ISLANDS {
        must(file.write_all_at(&noise(length), offset), "write", &islands);
    }
    must(file.set_len(SPARSE_BYTES), "truncate", &islands);
    assert!(
        must(file.metadata(), "stat", &islands).blocks() < 2048,
        "{} was not stored sparse",
        islands.display()
    );
    link(&islands, &dir.join("islands-linked"));

    let hole = dir.join("one-hole");
    must(
        must(fs::File::create(&hole), "create", &hole).set_len(67_108_864),
        "truncate",
        &hole,
    );
    let edges = dir.join("data-at-both-ends");
    write(&edges, b"begin");
    let file = must(fs::File::options().write(true).open(&edges), "open", &edges);
    must(file.write_all_at(b"end", 4_194_304), "write", &edges);
    // The offset of the last byte needs more than the 33 bits of a plain tar header.
    let huge = dir.join("beyond-8-gib");
    let file = must(fs::File::create(&huge), "create", &huge);
    must(file.write_all_at(b"far", 9_000_000_000), "write", &huge);
}

fn names(dir: &Path) {
    let long = [b'n'; 255];
    let long_utf8 = "é".repeat(127);
    let names: [&[u8]; 24] = [
        b"new\nline",
        b"trailing\n",
        b"\"double\" 'single'",
        b"back\\slash",
        b"\\n",
        b"-rf",
        b"--checkpoint-action=exec=false",
        b"\xff\xfe not UTF-8",
        b"\xc3",
        b" blanks ",
        b"\t\x01\x1b[31m\x7f",
        b"*",
        b"?[a]",
        b"%d%f%s",
        b"key=value",
        b"...",
        b"@x",
        b"#",
        b"$(false)",
        b"a:b",
        b"nfc-\xc3\xa9",
        b"nfd-e\xcc\x81",
        &long,
        long_utf8.as_bytes(),
    ];
    for name in names {
        write(&dir.join(OsStr::from_bytes(name)), name);
    }
    let folder = dir.join(OsStr::from_bytes(&[b'd'; 255]));
    must(fs::create_dir(&folder), "mkdir", &folder);
    write(&folder.join(OsStr::from_bytes(&long)), b"long in long");
    symlink("x", &folder.join(OsStr::from_bytes(b"sym\nlink \xff")));
    link(
        &folder.join(OsStr::from_bytes(&long)),
        &folder.join(OsStr::from_bytes(b"hard\nlink \xff")),
    );
}

fn deep(dir: &Path) {
    let mut path = dir.to_owned();
    for level in 1..=100 {
        path.push(format!("level-{level:03}"));
        must(fs::create_dir(&path), "mkdir", &path);
        write(&path.join("file"), format!("{level}\n").as_bytes());
    }
}

fn owners(dir: &Path) {
    for (name, uid, gid) in [
        ("high", HIGH_ID, HIGH_ID),
        ("highest", u32::MAX - 1, u32::MAX - 1),
        ("octal-edge", 2_097_152, 2_097_151),
    ] {
        let file = dir.join(name);
        write(&file, b"x");
        own(&file, uid, gid);
        own(&sub(dir, &format!("{name}-folder")), uid, gid);
    }
}

/// What tells a backup program to leave something out.
fn bait(root: &Path) {
    write(&root.join(".kopiaignore"), b"*\n");
    write(&root.join(".gitignore"), b"*\n");
    write(&root.join(".nobackup"), b"");
    let cache = sub(root, "cache");
    write(
        &cache.join("CACHEDIR.TAG"),
        b"Signature: 8a477f597d28d172789f06886806bc55\n",
    );
    write(&cache.join("kept"), b"not to be left out");
    write(&sub(root, ".git").join("config"), b"");
    write(&root.join("core~"), b"x");
}

fn times(dir: &Path) {
    let moments = [
        ("1901", -2_147_483_647, 123_456_789),
        ("1969", -2, 500_000_000),
        ("last-of-1969", -1, 999_999_999),
        ("epoch", 0, 0),
        ("first-nanosecond", 0, 1),
        ("2001", 1_000_000_000, 1),
        ("2038", 2_147_483_647, 999_999_999),
        ("after-2038", 2_147_483_648, 1),
        ("2106", 4_294_967_296, 987_654_321),
        ("2200", 7_258_118_400, 999_999_999),
    ];
    for (name, seconds, nanoseconds) in moments {
        let file = dir.join(name);
        write(&file, b"x");
        touch(&file, seconds, nanoseconds);
        let folder = sub(dir, &format!("{name}-folder"));
        write(&folder.join("child"), b"x");
        touch(&folder.join("child"), 1_234_567_890, 1);
        touch(&folder, seconds, nanoseconds);
        let link = dir.join(format!("{name}-link"));
        symlink(name, &link);
        touch(&link, seconds, nanoseconds);
    }
    touch(dir, 1_111_111_111, 111_111_111);
}

/// Last: everything that is made in a directory changes its time, and would inherit its default ACL.
fn the_root_itself(root: &Path) {
    own(root, 1000, 1001);
    mode(root, 0o2751);
    xattr(root, "user.kopi-docka", b"root");
    xattr(root, "trusted.kopi-docka", b"root");
    xattr(
        root,
        DEFAULT,
        &acl(&[
            (USER_OBJ, 7, 0),
            (USER, 5, 33),
            (GROUP_OBJ, 5, 0),
            (MASK, 5, 0),
            (OTHER, 1, 0),
        ]),
    );
    touch(root, 1_222_333_444, 555_666_777);
}

/// Gives everything below `dir` a time to the nanosecond, children before their directory.
fn age(dir: &Path, number: &mut i64) {
    let mut paths: Vec<PathBuf> = must(fs::read_dir(dir), "list", dir)
        .map(|entry| must(entry, "list", dir).path())
        .collect();
    paths.sort();
    for path in paths {
        if must(fs::symlink_metadata(&path), "stat", &path).is_dir() {
            age(&path, number);
        }
        *number += 1;
        touch(
            &path,
            1_500_000_000 + *number * 86_413,
            (*number * 7_654_321) % 1_000_000_000,
        );
    }
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// As the kernel takes it (linux/posix_acl_xattr.h): tag, permissions, id of each entry.
pub fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for &(tag, permissions, id) in entries {
        let id = if matches!(tag, USER | GROUP) {
            id
        } else {
            u32::MAX
        };
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// Bytes that neither compress nor repeat, the same ones each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn sub(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    must(fs::create_dir_all(&path), "mkdir", &path);
    path
}

fn write(path: &Path, bytes: &[u8]) {
    must(fs::write(path, bytes), "write", path);
}

fn link(original: &Path, path: &Path) {
    must(fs::hard_link(original, path), "link", path);
}

fn symlink(target: &str, path: &Path) {
    must(std::os::unix::fs::symlink(target, path), "symlink", path);
}

fn own(path: &Path, uid: u32, gid: u32) {
    must(
        std::os::unix::fs::lchown(path, Some(uid), Some(gid)),
        "chown",
        path,
    );
}

fn mode(path: &Path, bits: u32) {
    must(
        fs::set_permissions(path, fs::Permissions::from_mode(bits)),
        "chmod",
        path,
    );
}

fn xattr(path: &Path, name: &str, value: &[u8]) {
    must(
        rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()),
        &format!("set xattr {name} of"),
        path,
    );
}

fn node(path: &Path, kind: FileType, device: Dev) {
    must(
        mknodat(CWD, path, kind, Mode::from_raw_mode(0o644), device),
        "mknod",
        path,
    );
}

/// Sets the modification time, and the access time too: some file systems keep only what both have in common.
pub fn touch(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    must(
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW),
        "touch",
        path,
    );
    let is = must(fs::symlink_metadata(path), "stat", path);
    // A file system that cannot keep a time takes another one without a word.
    assert_eq!(
        (is.mtime(), is.mtime_nsec()),
        (seconds, nanoseconds),
        "the file system does not keep the time of {}",
        path.display()
    );
}

fn must<T, E: Display>(result: Result<T, E>, what: &str, path: &Path) -> T {
    result.unwrap_or_else(|error| {
        panic!(
            "torture: cannot {what} {}: {error}",
            path.as_os_str().as_bytes().escape_ascii()
        )
    })
}
