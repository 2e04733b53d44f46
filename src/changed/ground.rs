//! Whether a source lies where proofs hold: on a file system that tells every change, asked each night.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{Mode, OFlags, open};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::clock;
use super::stat::Stat;
use crate::discovery::mount_table::{self, MountEntry};
use crate::error::Result;

/// File systems of which it was tried that they move the time of a file with every change to it, but stores through pages that are
/// written to already.
const TRIED: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// The root of a source, opened once: walks and tar go through this descriptor.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    pub stat: Stat,
    /// The mount that process 1 has it on; `None` where that cannot be told.
    pub mount: Option<u64>,
    /// Two files can be exchanged without a trace on them.
    pub is_strict: bool,
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
            directory,
            stat,
            mount: mount_table::id_for_process_1(path),
            is_strict: fs_type == "xfs",
        })
    }

    /// Writes out all dirty pages of its file system, and takes the right to write to them from all who have them mapped: what they
    /// store after this moves the time of the file. Then shows that it is so, with a file without a name in one of `places`, the first
    /// that is on the file system and can be written to. Blocks.
    pub fn sync(&self, places: &[&Path]) -> Result<()> {
        let probe = places.iter().find_map(|place| self.probe(place));
        let probe = probe.context(
            "nothing can be written to its file system, so it cannot be shown that it tells every change",
        )?;
        let map = Mapped::of(&probe)?;
        map.store(1);
        let before = Stat::of(&rustix::fs::fstat(&probe)?);
        rustix::fs::syncfs(self).context("its file system cannot be written out")?;
        until_later(before.changed);
        map.store(2);
        let after = Stat::of(&rustix::fs::fstat(&probe)?);
        if after.changed == before.changed {
            anyhow::bail!("its file system does not tell that a mapped file was changed");
        }
        Ok(())
    }

    fn probe(&self, place: &Path) -> Option<File> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let probe = open(place, flags, Mode::RUSR | Mode::WUSR).ok()?;
        let found = Stat::of(&rustix::fs::fstat(&probe).ok()?);
        (found.device == self.stat.device).then(|| File::from(probe))
    }
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

/// One page of a file, written to as a database does that maps its files.
struct Mapped(*mut u8);

const PAGE: usize = 4096;

#[expect(unsafe_code, reason = "a mapping that others see has no safe form")]
impl Mapped {
    fn of(file: &File) -> Result<Self> {
        file.set_len(PAGE as u64)?;
        // SAFETY: a new mapping of a file that nobody else has, so nothing else changes or shortens it.
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
        Ok(Self(page.context("a probe cannot be mapped")?.cast()))
    }

    fn store(&self, byte: u8) {
        // SAFETY: the page is mapped and writable as long as `self` lives.
        unsafe { self.0.write_volatile(byte) }
    }
}

#[expect(unsafe_code, reason = "as above")]
impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `of` mapped, and nobody keeps a pointer into it.
        let _ = unsafe { munmap(self.0.cast(), PAGE) };
    }
}

/// Of this start of the machine.
pub fn boot_id() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("the id of this boot cannot be read")?;
    Ok(text.trim().to_owned())
}
