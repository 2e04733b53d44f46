//! Appends lines to a file that other processes of ours append to as well, and begins a new one when it is full.
//!
//! A line is one `write` to a file opened with `O_APPEND`, so lines of two processes do not mix. The process that finds the file full renames
//! it, holding a lock on it; the others notice by the inode.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::base::files::make_private_folder;

pub struct LogFile {
    path: PathBuf,
    limit_bytes: u64,
    /// How many old files stay: `path.1` is the newest.
    keep: usize,
    file: File,
    /// The disk was full in the middle of a line.
    is_torn: bool,
}

impl LogFile {
    /// Makes what is missing of its directory.
    pub fn open(path: &Path, limit_bytes: u64, keep: usize) -> Result<Self> {
        if let Some(folder) = path.parent() {
            make_private_folder(folder).map_err(|error| Error::other(format!("{error:#}")))?;
        }
        Ok(Self {
            path: path.to_owned(),
            limit_bytes,
            keep,
            file: open(path)?,
            is_torn: false,
        })
    }

    /// Writes `line` even when the file is full and no new one can be begun; that is an error all the same.
    pub fn append(&mut self, line: &[u8]) -> Result<()> {
        let ready = self.make_room(line.len() as u64);
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if std::mem::take(&mut self.is_torn) {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        let written = loop {
            match self.file.write(&bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if written < bytes.len() {
            self.is_torn = true;
            return Err(ErrorKind::StorageFull.into());
        }
        ready
    }

    fn make_room(&mut self, bytes: u64) -> Result<()> {
        if !self.is_current() {
            self.file = open(&self.path)?;
        }
        let size = self.file.metadata()?.len();
        if size > 0 && size.saturating_add(bytes) > self.limit_bytes {
            self.rotate()?;
        }
        Ok(())
    }

    /// The path still means our file: no new one was begun.
    fn is_current(&self) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let there = self.path.symlink_metadata().map(id);
        matches!((there, self.file.metadata().map(id)), (Ok(a), Ok(b)) if a == b)
    }

    fn rotate(&mut self) -> Result<()> {
        // The holder of the lock is doing it right now; do not wait.
        if flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(());
        }
        if self.is_current() {
            if self.keep == 0 {
                self.file.set_len(0)?;
                return Ok(flock(&self.file, FlockOperation::Unlock)?);
            }
            for number in (1..self.keep).rev() {
                rename(&self.numbered(number), &self.numbered(number + 1))?;
            }
            rename(&self.path, &self.numbered(1))?;
        }
        // The lock goes with the old file.
        self.file = open(&self.path)?;
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// No link is followed, and neither a pipe nor a device is waited for. What it tells of this host is root's alone; the mode of a
/// file that is there already is the operator's.
fn open(path: &Path) -> Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                Error::other("it is a symbolic link")
            }
            _ => error,
        })?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(Error::other("it is not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_full_file_makes_room_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/log");
        let mut log = LogFile::open(&path, 10, 2).unwrap();
        for line in [
            "one one\n",
            "two two\n",
            "three\n",
            "4\n",
            "a line that is longer than it may be\n",
        ] {
            log.append(line.as_bytes()).unwrap();
        }
        assert_eq!(read(&path), "a line that is longer than it may be\n");
        assert_eq!(read(&log.numbered(1)), "three\n4\n");
        assert_eq!(read(&log.numbered(2)), "two two\n");
        assert!(!log.numbered(3).exists());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // Also what an earlier process left.
        let mut log = LogFile::open(&path, 10, 2).unwrap();
        log.append(b"next\n").unwrap();
        assert_eq!(read(&path), "next\n");
        let mut none = LogFile::open(&path, 10, 0).unwrap();
        none.append(b"again and again\n").unwrap();
        assert_eq!(read(&path), "again and again\n");
    }

    #[test]
    fn processes_side_by_side_lose_and_tear_no_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let mut log = LogFile::open(&path, 2000, 1000).unwrap();
                std::thread::spawn(move || {
                    for number in 0..500 {
                        let line = format!(
                            "writer {writer} line {number} {}\n",
                            "x".repeat(number % 60)
                        );
                        log.append(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let mut lines = BTreeSet::new();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let text = read(&entry.unwrap().path());
            lines.extend(
                text.lines()
                    .map(|line| line.trim_end_matches(['x', ' ']).to_owned()),
            );
        }
        let expected = (0..4).flat_map(|writer| {
            (0..500).map(move |number| format!("writer {writer} line {number}"))
        });
        assert_eq!(lines, expected.collect());
    }

    #[test]
    fn what_is_no_plain_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("target"), &link).unwrap();
        for path in [&link, Path::new("/dev/null"), folder.path()] {
            assert!(LogFile::open(path, 10, 1).is_err(), "{}", path.display());
        }
        assert!(!folder.path().join("target").exists());
    }
}
