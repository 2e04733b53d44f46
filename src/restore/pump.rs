//! Moves the stream from kopia to tar and counts it. No byte passes through our heap.

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use tokio::sync::oneshot;

use super::aside;
use crate::error::Result;
use crate::kopia::Activity;

/// What moves at once: as much as a pipe holds.
const CHUNK: usize = 1024 * 1024;

/// Moves everything out of `source` into `sink` on a thread of its own; closes both and resolves to the number of bytes.
pub fn pump(
    source: OwnedFd,
    sink: OwnedFd,
    moved: Activity,
) -> Result<oneshot::Receiver<Result<u64>>> {
    aside::start(move || {
        let mut total = 0;
        loop {
            match splice(&source, None, &sink, None, CHUNK, SpliceFlags::empty()) {
                Ok(0) => return Ok(total),
                Ok(bytes) => {
                    total += bytes as u64;
                    moved.add(bytes as u64);
                }
                Err(Errno::INTR) => {}
                // Tar ends when it has seen the end of the archive, and may do so before kopia has closed its stdout.
                Err(Errno::PIPE) if is_at_end(&source)? => return Ok(total),
                Err(error) => return Err(error).context("tar stopped reading its input"),
            }
        }
    })
}

/// Waits for more of `source`, or its end.
fn is_at_end(source: &OwnedFd) -> Result<bool> {
    let mut byte = [0];
    loop {
        match rustix::io::read(source, &mut byte) {
            Err(Errno::INTR) => {}
            read => return Ok(read? == 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _};

    use super::*;
    use crate::tool::{pipe, until_nobody_reads};

    #[test]
    fn a_reader_that_has_all_may_go_and_one_that_has_not_may_not() {
        for (rest, is_good) in [("", true), ("more", false)] {
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
            writer.write_all(rest.as_bytes()).unwrap();
            drop(writer);
            let pumped = pumped.blocking_recv().unwrap();
            assert_eq!(pumped.is_ok(), is_good, "{pumped:?}");
            assert_eq!(moved.total(), 3);
        }
    }
}
