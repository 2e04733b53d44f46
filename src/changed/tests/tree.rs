//! A tree in which everything happens that can happen to files. What the file system refuses is fine.

use std::ffi::{OsStr, OsString};
use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, lchown,
    symlink,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, RenameFlags, Timespec, Timestamps, XattrFlags,
    fallocate, makedev, mknodat, renameat_with, utimensat,
};

pub struct Tree {
    root: PathBuf,
    random: StdRng,
}

type Operation = fn(&mut Tree) -> io::Result<()>;

const OPERATIONS: [Operation; 33] = [
    Tree::create,
    Tree::create,
    Tree::make_directory,
    Tree::overwrite_and_put_time_back,
    Tree::replace_and_put_time_back,
    Tree::write_into,
    Tree::append,
    Tree::truncate,
    Tree::write_far,
    Tree::punch,
    Tree::unlink,
    Tree::remove_directory,
    Tree::rename,
    Tree::rename_over,
    Tree::rename_directory,
    Tree::exchange,
    Tree::exchange_directories,
    Tree::link,
    Tree::link,
    Tree::make_symlink,
    Tree::file_to_directory,
    Tree::directory_to_file,
    Tree::directory_to_link,
    Tree::link_to_directory,
    Tree::change_mode,
    Tree::change_owner,
    Tree::set_attribute,
    Tree::remove_attribute,
    Tree::set_acl,
    Tree::set_time,
    Tree::make_node,
    Tree::store_through_mapping,
    Tree::touch_directory_and_put_time_back,
];

const NAMES: [&[u8]; 16] = [
    b"a",
    b"b",
    b"c",
    b"d-1",
    b"d",
    b"data.db",
    b"-x",
    b"new\nline",
    b"\xff\xfe",
    b"\\n",
    b"*",
    b" sp ",
    b"@f",
    &[b'n'; 120],
    b"e\xcc\x81",
    &[b'z'; 200],
];

/// User `1000` may read it.
const ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x02\0\x04\0\xe8\x03\0\0\x04\0\x04\0\xff\xff\xff\xff\x10\0\x04\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";

/// A file of the tree, opened without waiting for the other end of a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

fn nothing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Tree {
    pub fn new(root: &Path, seed: u64) -> Self {
        Self {
            root: root.to_owned(),
            random: StdRng::seed_from_u64(seed),
        }
    }

    pub fn random(&mut self) -> &mut StdRng {
        &mut self.random
    }

    pub fn attack(&mut self, times: usize) {
        for _ in 0..times {
            let operation = *OPERATIONS.choose(&mut self.random).unwrap();
            let _ = operation(self);
        }
    }

    pub fn fill(&mut self, directories: usize, files: usize) {
        for _ in 0..directories {
            let _ = self.make_directory();
        }
        for _ in 0..files {
            let _ = self.create();
        }
    }

    fn all(&self) -> Vec<(PathBuf, std::fs::Metadata)> {
        let mut found = Vec::new();
        let mut pending = vec![self.root.clone()];
        while let Some(directory) = pending.pop() {
            let Ok(entries) = std::fs::read_dir(directory) else {
                continue;
            };
            for entry in entries.flatten() {
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                if metadata.is_dir() {
                    pending.push(entry.path());
                }
                found.push((entry.path(), metadata));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }

    fn some(&mut self, is_it: impl Fn(&std::fs::Metadata) -> bool) -> io::Result<PathBuf> {
        let mut all = self.all();
        all.retain(|(_, metadata)| is_it(metadata));
        let chosen = all.choose(&mut self.random).ok_or_else(nothing)?;
        Ok(chosen.0.clone())
    }

    pub fn file(&mut self) -> io::Result<PathBuf> {
        self.some(std::fs::Metadata::is_file)
    }

    pub fn directory(&mut self) -> io::Result<PathBuf> {
        self.some(std::fs::Metadata::is_dir)
    }

    fn no_directory(&mut self) -> io::Result<PathBuf> {
        self.some(|metadata| !metadata.is_dir())
    }

    fn new_path(&mut self) -> PathBuf {
        let mut directories = self.all();
        directories.retain(|(_, metadata)| metadata.is_dir());
        let mut directories: Vec<PathBuf> = directories.into_iter().map(|(path, _)| path).collect();
        directories.push(self.root.clone());
        let directory = directories.choose(&mut self.random).unwrap();
        let mut name = NAMES.choose(&mut self.random).unwrap().to_vec();
        if self.random.random_bool(0.5) {
            name.extend(self.random.random_range(0..9).to_string().into_bytes());
        }
        directory.join(OsStr::from_bytes(&name))
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn content(&mut self) -> Vec<u8> {
        let length = *[0, 1, 100, 511, 512, 513, 5000, 20000]
            .choose(&mut self.random)
            .unwrap();
        self.bytes(length)
    }

    fn create(&mut self) -> io::Result<()> {
        let (path, content) = (self.new_path(), self.content());
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all_at(&content, 0)
    }

    fn make_directory(&mut self) -> io::Result<()> {
        std::fs::create_dir(self.new_path())
    }

    fn overwrite_and_put_time_back(&mut self) -> io::Result<()> {
        let path = self.file()?;
        let metadata = path.symlink_metadata()?;
        let content = self.bytes(usize::try_from(metadata.len()).unwrap().min(100_000));
        let file = open(&path)?;
        file.write_all_at(&content, 0)?;
        file.set_times(FileTimes::new().set_modified(metadata.modified()?))
    }

    /// Another file under the name, of the same length and time.
    fn replace_and_put_time_back(&mut self) -> io::Result<()> {
        let path = self.file()?;
        let metadata = path.symlink_metadata()?;
        let other = with_ending(&path, ".tmp");
        let content = self.bytes(usize::try_from(metadata.len()).unwrap().min(100_000));
        std::fs::write(&other, content)?;
        std::fs::set_permissions(&other, metadata.permissions())?;
        chown(&other, Some(metadata.uid()), Some(metadata.gid()))?;
        open(&other)?.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
        std::fs::rename(other, path)
    }

    fn write_into(&mut self) -> io::Result<()> {
        let (path, length) = (self.file()?, self.random.random_range(1..600));
        let content = self.bytes(length);
        open(&path)?.write_all_at(&content, self.random.random_range(0..20000))
    }

    fn append(&mut self) -> io::Result<()> {
        let (path, content) = (self.file()?, self.content());
        let end = path.symlink_metadata()?.len();
        open(&path)?.write_all_at(&content, end)
    }

    fn truncate(&mut self) -> io::Result<()> {
        let path = self.file()?;
        open(&path)?.set_len(self.random.random_range(0..30000))
    }

    fn write_far(&mut self) -> io::Result<()> {
        let (path, content) = (self.file()?, self.bytes(100));
        open(&path)?.write_all_at(&content, self.random.random_range(0..3_000_000))
    }

    fn punch(&mut self) -> io::Result<()> {
        let file = open(&self.file()?)?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(fallocate(file, flags, 4096, 8192)?)
    }

    fn unlink(&mut self) -> io::Result<()> {
        std::fs::remove_file(self.no_directory()?)
    }

    fn remove_directory(&mut self) -> io::Result<()> {
        if self.random.random_bool(0.1) {
            std::fs::remove_dir_all(self.directory()?)?;
        }
        Ok(())
    }

    fn rename(&mut self) -> io::Result<()> {
        std::fs::rename(self.no_directory()?, self.new_path())
    }

    fn rename_over(&mut self) -> io::Result<()> {
        std::fs::rename(self.file()?, self.file()?)
    }

    fn rename_directory(&mut self) -> io::Result<()> {
        std::fs::rename(self.directory()?, self.new_path())
    }

    fn exchange(&mut self) -> io::Result<()> {
        exchange(&self.some(|_| true)?, &self.some(|_| true)?)
    }

    fn exchange_directories(&mut self) -> io::Result<()> {
        exchange(&self.directory()?, &self.directory()?)
    }

    fn link(&mut self) -> io::Result<()> {
        std::fs::hard_link(self.file()?, self.new_path())
    }

    fn make_symlink(&mut self) -> io::Result<()> {
        let to = ["a", "/etc", "..", "../..", "nowhere", "d"]
            .choose(&mut self.random)
            .unwrap();
        symlink(to, self.new_path())
    }

    fn file_to_directory(&mut self) -> io::Result<()> {
        let (path, content) = (self.no_directory()?, self.content());
        std::fs::remove_file(&path)?;
        std::fs::create_dir(&path)?;
        std::fs::write(path.join("in"), content)
    }

    fn directory_to_file(&mut self) -> io::Result<()> {
        let (path, content) = (self.directory()?, self.content());
        if std::fs::read_dir(&path)?.count() > 3 {
            return Ok(());
        }
        std::fs::remove_dir_all(&path)?;
        std::fs::write(path, content)
    }

    fn directory_to_link(&mut self) -> io::Result<()> {
        let path = self.directory()?;
        let was = with_ending(&path, ".was");
        std::fs::rename(&path, &was)?;
        symlink(was.file_name().unwrap(), path)
    }

    fn link_to_directory(&mut self) -> io::Result<()> {
        let (path, content) = (self.some(std::fs::Metadata::is_symlink)?, self.content());
        std::fs::remove_file(&path)?;
        std::fs::create_dir(&path)?;
        std::fs::write(path.join("x"), content)
    }

    fn change_mode(&mut self) -> io::Result<()> {
        let path = self.some(|metadata| !metadata.is_symlink())?;
        let mode = *[0o644, 0o600, 0o4755, 0o2770, 0o1777, 0o400]
            .choose(&mut self.random)
            .unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    }

    fn change_owner(&mut self) -> io::Result<()> {
        let mut id = || Some(self.random.random_range(0..3000));
        let (uid, gid) = (id(), id());
        lchown(self.some(|_| true)?, uid, gid)
    }

    fn set_attribute(&mut self) -> io::Result<()> {
        let path = self.some(|metadata| metadata.is_file() || metadata.is_dir())?;
        let name = *["user.a", "user.b", "trusted.t"]
            .choose(&mut self.random)
            .unwrap();
        let value = self.bytes(20);
        Ok(rustix::fs::lsetxattr(
            path,
            name,
            &value,
            XattrFlags::empty(),
        )?)
    }

    fn remove_attribute(&mut self) -> io::Result<()> {
        let path = self.some(|metadata| metadata.is_file() || metadata.is_dir())?;
        Ok(rustix::fs::lremovexattr(path, "user.a")?)
    }

    fn set_acl(&mut self) -> io::Result<()> {
        let name = "system.posix_acl_access";
        Ok(rustix::fs::lsetxattr(
            self.file()?,
            name,
            ACL,
            XattrFlags::empty(),
        )?)
    }

    fn set_time(&mut self) -> io::Result<()> {
        let path = self.some(|_| true)?;
        let seconds = *[0, 1_000_000_000, 123_456_789, -86400]
            .choose(&mut self.random)
            .unwrap();
        set_time(&path, seconds, self.random.random_range(0..1_000_000_000))
    }

    fn make_node(&mut self) -> io::Result<()> {
        let (path, minor) = (self.new_path(), self.random.random_range(0..9));
        let (kind, device) = if minor < 4 {
            (FileType::Fifo, 0)
        } else {
            (FileType::CharacterDevice, makedev(1, minor))
        };
        Ok(mknodat(CWD, path, kind, Mode::RUSR | Mode::WUSR, device)?)
    }

    fn store_through_mapping(&mut self) -> io::Result<()> {
        let (path, byte) = (self.file()?, self.random.random());
        Mapping::of(&path)?.store(0, byte)
    }

    fn touch_directory_and_put_time_back(&mut self) -> io::Result<()> {
        let path = self.directory()?;
        let before = path.symlink_metadata()?;
        let entry = path.join("tmp-entry");
        std::fs::write(&entry, "x")?;
        if self.random.random_bool(0.7) {
            std::fs::remove_file(entry)?;
        }
        set_time(&path, before.mtime(), before.mtime_nsec())
    }
}

pub fn set_time(path: &Path, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

pub fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

pub fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// The first page of a file, mapped as a database maps it. A store goes into the page as one of a program does, but a file that was
/// cut short meanwhile is an error and no signal.
pub struct Mapping {
    address: usize,
    length: u64,
    memory: File,
}

#[expect(unsafe_code, reason = "a mapping that others see has no safe form")]
impl Mapping {
    pub fn of(path: &Path) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)?;
        let length = file.metadata()?.len().min(4096);
        if length == 0 {
            return Err(nothing());
        }
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: it is never read or written by a pointer, but as `/proc/self/mem`.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                4096,
                protection,
                MapFlags::SHARED,
                &file,
                0,
            )
        }?;
        Ok(Self {
            address: address as usize,
            length,
            memory: OpenOptions::new().write(true).open("/proc/self/mem")?,
        })
    }

    pub fn store(&self, at: u64, byte: u8) -> io::Result<()> {
        self.memory
            .write_all_at(&[byte], self.address as u64 + at % self.length)
    }
}

#[expect(unsafe_code, reason = "as above")]
impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: what `of` mapped, and nobody has a pointer into it.
        let _ = unsafe { rustix::mm::munmap(self.address as *mut _, 4096) };
    }
}

/// The time in the year 2001 that two files share.
pub fn long_ago() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}
