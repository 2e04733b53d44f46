//! Whether a source lies where proofs hold: on a file system that tells every change, asked each night.

use std::ffi::{OsString, c_void};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::clock;
use super::session;
use super::stat::Stat;
use crate::discovery::mount_table::MountEntry;
use crate::error::Result;

/// File systems of which it was tried that they move the time of a file with every change to it, but stores through pages that are
/// written to already.
const TRIED: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// The root of a source, opened once: walks and tar go through this descriptor.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: OwnedFd,
    pub stat: Stat,
    /// Of its file system; `None` where that cannot be told.
    pub session: Option<u64>,
    /// Somebody may have a limit there.
    pub has_quotas: bool,
    /// Two files can be exchanged without a trace on them.
    pub is_strict: bool,
    pub is_xfs: bool,
}

impl Root {
    /// An error says why the source at `path` can only be read whole. Blocks.
    pub fn open(path: &Path, mount: &MountEntry) -> Result<Self> {
        let fs_type = mount.fs_type.as_str();
        if !TRIED.contains(&fs_type) {
            anyhow::bail!("{fs_type} does not tell every change");
        }
        if mount.options.split(',').any(|it| it.starts_with("dax")) {
            anyhow::bail!("with DAX its file system does not tell every change");
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty())
            .with_context(|| format!("`{}` cannot be opened", path.display()))?;
        let stat = Stat::of(&rustix::fs::fstat(&directory)?);
        Ok(Self {
            path: path.to_owned(),
            directory,
            stat,
            session: session::of(mount),
            has_quotas: has_quotas(&mount.options),
            is_strict: fs_type == "xfs",
            is_xfs: fs_type == "xfs",
        })
    }

    /// Writes out all dirty pages of its file system, and takes the right to write to them from all who have them mapped: what they
    /// store after this moves the time of the file. Then shows that it is so, with a file without a name on it. Blocks.
    pub fn sync(&self) -> Result<()> {
        let (_, probe) = self.writable().context(
            "nothing can be written to its file system, so it cannot be shown that it tells every change",
        )?;
        let map = Mapped::of(&probe)?;
        map.store(1)?;
        let before = Stat::of(&rustix::fs::fstat(&probe)?);
        rustix::fs::syncfs(self).context("its file system cannot be written out")?;
        until_later(before.changed);
        map.store(2)?;
        let after = Stat::of(&rustix::fs::fstat(&probe)?);
        if after.changed == before.changed {
            anyhow::bail!("its file system does not tell that a mapped file was changed");
        }
        Ok(())
    }

    /// It once more, with a name through which files can be made in it, and one of those.
    pub fn writable(&self) -> Option<(OwnedFd, File)> {
        ["", OF_PROCESS_1].into_iter().find_map(|above| {
            let mut place = OsString::from(above);
            place.push(&self.path);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = open(place, flags, Mode::empty()).ok()?;
            let found = Stat::of(&rustix::fs::fstat(&directory).ok()?);
            let is_same = (found.device, found.inode) == (self.stat.device, self.stat.inode);
            let file = unnamed(&directory).ok()?;
            is_same.then_some((directory, file))
        })
    }
}

/// A file in `directory` that has no name and is gone when it is closed.
pub fn unnamed(directory: impl AsFd) -> rustix::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    openat(directory, ".", flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// `usrquota`, `prjquota` and the like.
fn has_quotas(options: &str) -> bool {
    let is_one = |it: &str| it.contains("quota") && it != "noquota";
    options.split(',').any(is_one)
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The clock of files ticks every few milliseconds.
fn until_later(time: i64) {
    while clock::now() <= time {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// A unit sees everything but its own directories read-only, and process 1 as it is.
pub const OF_PROCESS_1: &str = "/proc/1/root";

/// One page of a file, written to as a database does that maps its files. What is stored goes by way of the kernel: on a full disk a
/// store of our own would be a signal that ends us.
struct Mapped {
    address: *mut c_void,
    memory: File,
}

const PAGE: usize = 4096;

#[expect(unsafe_code, reason = "a mapping that others see has no safe form")]
impl Mapped {
    fn of(file: &File) -> Result<Self> {
        file.write_all_at(&[0; PAGE], 0)
            .context("a probe cannot be written")?;
        // SAFETY: a new mapping, which no pointer of ours is ever followed into.
        let page = unsafe {
            mmap(
                std::ptr::null_mut(),
                PAGE,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        };
        Ok(Self {
            address: page.context("a probe cannot be mapped")?,
            memory: File::options().write(true).open("/proc/self/mem")?,
        })
    }

    fn store(&self, byte: u8) -> Result<()> {
        let stored = self.memory.write_all_at(&[byte], self.address as u64);
        stored.context("a probe cannot be stored into")
    }
}

#[expect(unsafe_code, reason = "as above")]
impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `of` mapped.
        let _ = unsafe { munmap(self.address, PAGE) };
    }
}

/// Of this start of the machine.
pub fn boot_id() -> Result<String> {
    let text = setting("kernel/random/boot_id").context("the id of this boot cannot be read")?;
    Ok(text.trim().to_owned())
}

/// A setting of the kernel. A unit has no `/proc/sys` of its own (`ProcSubset=pid`).
pub fn setting(name: &str) -> std::io::Result<String> {
    let read = |above: &str| std::fs::read_to_string(format!("{above}/proc/sys/{name}"));
    read("").or_else(|_| read(OF_PROCESS_1))
}
