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
                Err(error) => return Err(error).context("tar stopped reading its input"),
            }
        }
    })
}
