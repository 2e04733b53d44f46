//! One run at a time per host, and one verify beside it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;

use crate::error::{Exit, Failure, Result};

/// Held until dropped; the kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes `<runtime>/kopi-docka.lock` or says who has it. `what` is shown to those who come later.
    pub fn take(runtime: &Path, what: &str) -> Result<Self> {
        Self::take_file(runtime, "kopi-docka.lock", what)
    }

    /// A lock of its own for what only reads the repository: it may take hours, and no backup may wait for it.
    pub fn take_to_verify(runtime: &Path) -> Result<Self> {
        Self::take_file(runtime, "verify.lock", "verify")
    }

    fn take_file(runtime: &Path, name: &str, what: &str) -> Result<Self> {
        make_private_folder(runtime)?;
        let path = runtime.join(name);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .with_context(|| format!("the lock `{}` can't be opened", path.display()))?;
        if fs2::FileExt::try_lock_exclusive(&file).is_err() {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(Failure::new(Exit::Locked, format!("another run is at work: {}", holder.trim()))
                .hint("wait until it is done; the lock goes with the process, there is nothing to clean up")
                .into());
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "`kopi-docka {what}`, process {}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

/// Who has the lock of a run, asked without taking it; `None` when nobody has.
pub fn holder(runtime: &Path) -> Option<String> {
    let path = runtime.join("kopi-docka.lock");
    let inode = path.metadata().ok()?.ino().to_string();
    // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; the device is not that of `stat` on every file system.
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let is_held = locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("FLOCK")
            && words.nth(3).and_then(|file| file.rsplit(':').next()) == Some(inode.as_str())
    });
    let text = is_held.then(|| std::fs::read_to_string(&path).ok())??;
    Some(text.trim().to_owned())
}

/// Makes `folder` and its parents; what is made is 0700.
pub fn make_private_folder(folder: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("the folder `{}` can't be made", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_lock_is_known_without_taking_it() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path();
        assert_eq!(holder(runtime), None);
        let lock = Lock::take(runtime, "backup").unwrap();
        let expected = format!("`kopi-docka backup`, process {}", std::process::id());
        assert_eq!(holder(runtime), Some(expected));
        drop(lock);
        assert_eq!(holder(runtime), None);
    }
}
