//! What has come out of tar and has no place yet.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, pwrite, read, write};

/// What is read at once. `splice` moves page by page, and a file takes large pieces at half the cost; larger ones do not fit into the
/// cache of a processor.
const PIECE: usize = 256 * 1024;

/// A buffer between a pipe and a file: what the file does not take stays in it.
pub struct Held {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Held {
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            from: 0,
            to: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Reads at most `limit` bytes when nothing is held, and waits for them. 0 is the end of the pipe.
    pub fn read(&mut self, pipe: &OwnedFd, limit: u64) -> Result<usize, Errno> {
        // Not before it is needed: without a file every byte goes past it.
        self.buffer.resize(PIECE, 0);
        let length = PIECE.min(usize::try_from(limit).unwrap_or(PIECE));
        let room = self.buffer.get_mut(..length).unwrap_or_default();
        let count = uninterrupted(|| read(pipe, &mut *room))?;
        (self.from, self.to) = (0, count);
        Ok(count)
    }

    /// Writes at most `limit` bytes of it to `offset`, as many as the file takes: how many, and why not all.
    pub fn write_to(&mut self, file: &File, offset: u64, limit: u64) -> (u64, Result<(), Errno>) {
        let mut written = 0;
        while !self.is_empty() && written < limit {
            let left = usize::try_from(limit - written).unwrap_or(PIECE);
            let bytes = self.held();
            let bytes = bytes.get(..left).unwrap_or(bytes);
            match uninterrupted(|| pwrite(file, bytes, offset + written)) {
                Ok(0) => return (written, Err(Errno::NOSPC)),
                Ok(count) => {
                    self.from += count;
                    written += count as u64;
                }
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }

    /// Writes to `sink` what goes in, and waits until something does.
    pub fn send(&mut self, sink: &OwnedFd) -> Result<u64, Errno> {
        let count = uninterrupted(|| write(sink, self.held()))?;
        self.from += count;
        Ok(count as u64)
    }

    fn held(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }
}

fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
