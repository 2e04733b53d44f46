//! stdout and stderr themselves. Only the printing thread writes to them: a write may never come back.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Written at once, so that a reader who takes a little is seen.
const CHUNK: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Error,
}

/// Whether its reader has gone away, which is not an error: the rest is dropped.
static OUT_IS_GONE: AtomicBool = AtomicBool::new(false);
static ERROR_IS_GONE: AtomicBool = AtomicBool::new(false);

/// Writes all of `bytes`; `moved` is called whenever some were taken.
pub(super) fn write(to: Stream, bytes: &[u8], moved: impl Fn()) {
    let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
    let (fd, is_gone) = match to {
        Stream::Out => (stdout.as_fd(), &OUT_IS_GONE),
        Stream::Error => (stderr.as_fd(), &ERROR_IS_GONE),
    };
    for chunk in bytes.chunks(CHUNK) {
        if is_gone.load(Ordering::Relaxed) {
            return;
        }
        if write_chunk(fd, chunk).is_err() {
            is_gone.store(true, Ordering::Relaxed);
        }
        moved();
    }
}

fn write_chunk(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The caller may have made the stream non-blocking.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None);
            }
            // A disk may have space again later.
            Err(Errno::NOSPC | Errno::DQUOT) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
