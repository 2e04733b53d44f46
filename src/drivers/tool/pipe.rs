//! Pipes between children and us, as large as the kernel lets us have them.

use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::error::Result;

/// Fewer wake-ups than with the default 64 KiB.
const PIPE_BYTES: usize = 1024 * 1024;

pub struct Pipe {
    pub reader: OwnedFd,
    pub writer: OwnedFd,
}

/// Neither end is inherited by other children.
pub fn pipe() -> Result<Pipe> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("cannot create a pipe")?;
    // Refused when the user's pages for pipes are used up; the small one works too.
    let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
    Ok(Pipe { reader, writer })
}

/// Waits until the pipe of `writer` has no reader any more: a child that another test is just starting has one until its exec.
#[cfg(test)]
pub fn until_nobody_reads(writer: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(writer, PollFlags::empty())];
    assert_eq!(poll(&mut fds, Some(&limit)), Ok(1), "it still has a reader");
}
