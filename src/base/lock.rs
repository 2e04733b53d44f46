//! One run at a time per host, and one verify and one drill beside it.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use tokio::time::Instant;

use super::files::make_private_folder;
use super::shutdown::Shutdown;
use crate::error::{Exit, Failure, Result, exit_of};

/// How often the lock is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(200);

/// What to do when another run holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    No,
    For(Duration),
    Forever,
}

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

    /// One drill at a time, beside whatever else is at work.
    pub fn take_to_drill(runtime: &Path, what: &str) -> Result<Self> {
        Self::take_file(runtime, "drill.lock", what)
    }

    /// As [`Lock::take`], but another run is waited for, as long as `wait` says; `tell` hears who that is. Ends early when the program is
    /// asked to.
    pub async fn take_after(
        runtime: &Path,
        what: &str,
        wait: Wait,
        shutdown: &Shutdown,
        tell: impl Fn(&str),
    ) -> Result<Self> {
        let deadline = match wait {
            Wait::No => return Self::take(runtime, what),
            Wait::For(time) => Some(Instant::now() + time),
            Wait::Forever => None,
        };
        let mut told = None;
        loop {
            let error = match Self::take(runtime, what) {
                Ok(lock) => return Ok(lock),
                Err(error) if exit_of(&error) == Exit::Locked => error,
                Err(error) => return Err(error),
            };
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(error);
            }
            let why = format!("{error}");
            if told.as_ref() != Some(&why) {
                tell(&why);
                told = Some(why);
            }
            let left = deadline.map_or(POLL, |deadline| deadline - Instant::now());
            tokio::select! {
                biased;
                () = shutdown.asked() => {
                    let what = "a signal ended the waiting for another run";
                    return Err(Failure::new(shutdown.exit(), what).into());
                }
                () = tokio::time::sleep(left.min(POLL)) => {}
            }
        }
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
            .with_context(|| format!("the lock `{}` cannot be opened", path.display()))?;
        if fs2::FileExt::try_lock_exclusive(&file).is_err() {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(Failure::new(Exit::Locked, format!("another run is at work: {}", holder.trim()))
                .hint("wait until it is done (`backup --wait` does); the lock goes with the process, there is nothing to clean up")
                .into());
        }
        file.set_len(0)?;
        file.rewind()?;
        let (process, since) = (std::process::id(), Utc::now().format("%Y-%m-%dT%H:%M:%SZ"));
        writeln!(
            file,
            "`kopi-docka {what}`, process {process}, since {since}"
        )?;
        Ok(Self { _file: file })
    }
}

/// The holder of the lock of a run, without taking it; `None` if it is free.
pub fn holder(runtime: &Path) -> Option<String> {
    holder_of(&runtime.join("kopi-docka.lock"))
}

/// The same of the lock of a drill.
pub fn drill_holder(runtime: &Path) -> Option<String> {
    holder_of(&runtime.join("drill.lock"))
}

fn holder_of(path: &Path) -> Option<String> {
    let inode = path.metadata().ok()?.ino().to_string();
    // `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; the device is not that of `stat` on every file system.
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let is_held = locks.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some("FLOCK")
            && words.nth(3).and_then(|file| file.rsplit(':').next()) == Some(inode.as_str())
    });
    let text = is_held.then(|| std::fs::read_to_string(path).ok())??;
    Some(text.trim().to_owned())
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
        let expected = format!(
            "`kopi-docka backup`, process {}, since ",
            std::process::id()
        );
        let told = holder(runtime).unwrap();
        assert!(told.starts_with(&expected), "{told}");
        drop(lock);
        // A child that another test is just starting has it until its exec.
        let freed = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            holder(runtime).is_none()
        });
        assert!(freed, "{:?}", holder(runtime));
    }
}
