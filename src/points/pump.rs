//! Moves the stream from kopia to tar and counts it. No byte passes through our heap.

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use tokio::sync::oneshot;

use crate::base::activity::Activity;
use crate::base::blocking;
use crate::error::Result;

/// What moves at once: as much as a pipe holds.
const CHUNK: usize = 1024 * 1024;
/// The largest that a tar of ours or of the Python tool writes is a quarter of it.
pub(super) const MAX_RECORD: u64 = 1024 * 1024;
/// Of an error while tar still had to get something.
pub(super) const STOPPED: &str = "tar stopped reading its input";

/// Moves `most` bytes at most.
pub(super) fn splice_some(source: &OwnedFd, sink: &OwnedFd, most: u64) -> Result<usize, Errno> {
    let most = usize::try_from(most).unwrap_or(CHUNK).min(CHUNK);
    splice(source, None, sink, None, most, SpliceFlags::empty())
}

/// Moves everything out of `source` into `sink` on a thread of its own; closes both and resolves to the number of bytes.
pub fn pump(
    source: OwnedFd,
    sink: OwnedFd,
    moved: Activity,
) -> Result<oneshot::Receiver<Result<u64>>> {
    blocking::start(move || {
        let mut total = 0;
        loop {
            match splice_some(&source, &sink, u64::MAX) {
                Ok(0) => return Ok(total),
                Ok(bytes) => {
                    total += bytes as u64;
                    moved.add(bytes as u64);
                }
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => return Ok(total + fill_of_record(&source, &moved)?),
                Err(error) => return Err(error).context(STOPPED),
            }
        }
    })
}

/// Tar ends when it has seen the end of the archive: the zeros that fill up its last record are read here, and counted.
fn fill_of_record(source: &OwnedFd, moved: &Activity) -> Result<u64> {
    let mut piece = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        let count = match rustix::io::read(source, &mut *piece) {
            Err(Errno::INTR) => continue,
            read => read.context("kopia's pipe could not be read")?,
        };
        if count == 0 {
            return Ok(total);
        }
        total += count as u64;
        moved.add(count as u64);
        let is_fill = piece.iter().take(count).all(|byte| *byte == 0);
        if !is_fill || total > MAX_RECORD {
            return Err(Errno::PIPE).context(STOPPED);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::drivers::tool::{pipe, until_nobody_reads};

    #[test]
    fn a_reader_that_has_all_but_zeros_may_go_and_one_that_has_not_may_not() {
        let zeros = vec![0; 256 * 1024 - 512];
        let many = vec![0; 3 * 1024 * 1024];
        for (rest, is_good) in [
            (&b""[..], true),
            (&zeros, true),
            (b"more", false),
            (b"\0\0more", false),
            (&many, false),
        ] {
            let (stream, archive) = (pipe().unwrap(), pipe().unwrap());
            let moved = Activity::default();
            let same = archive.writer.try_clone().unwrap();
            let pumped = pump(stream.reader, archive.writer, moved.clone()).unwrap();
            let mut writer = File::from(stream.writer);
            writer.write_all(b"all").unwrap();
            let mut reader = File::from(archive.reader);
            let mut buffer = [0; 3];
            reader.read_exact(&mut buffer).unwrap();
            drop(reader);
            until_nobody_reads(&same);
            drop(same);
            // Whoever gives up reads no further.
            let written = writer.write_all(rest);
            assert!(written.is_ok() || !is_good);
            drop(writer);
            let pumped = pumped.blocking_recv().unwrap();
            match pumped {
                Ok(total) => assert_eq!((total, is_good), (3 + rest.len() as u64, true)),
                Err(error) => {
                    assert!(!is_good && error.is::<Errno>(), "{error:#}");
                    continue;
                }
            }
            assert_eq!(moved.total(), 3 + rest.len() as u64);
        }
    }
}
