//! As [`super::pump`], for a stream that somebody looks at, such as a [`Gate`](super::gate::Gate): tar gets no byte of a member before it was let through.

use std::io::Read;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use rustix::io::Errno;
use tokio::sync::oneshot;

use super::pump::{MAX_RECORD, STOPPED, splice_some};
use crate::base::activity::Activity;
use crate::base::blocking;
use crate::drivers::tar::{Member, next_member};
use crate::error::{Exit, Failure, Result};

/// It may be kopia's fault, which then says so.
#[derive(Debug, thiserror::Error)]
#[error("its archive ends too early")]
pub struct EndsEarly;

/// What comes out of kopia. Headers are held back until it is known what they are of.
struct Source<'a> {
    stream: &'a OwnedFd,
    held: Vec<u8>,
    total: u64,
    moved: &'a Activity,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.read_some(buffer)?;
        self.held.extend(buffer.iter().take(count));
        Ok(count)
    }
}

impl Source<'_> {
    fn read_some(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = loop {
            match rustix::io::read(self.stream, &mut *buffer) {
                Err(Errno::INTR) => {}
                read => break read?,
            }
        };
        self.count(count);
        Ok(count)
    }

    fn count(&mut self, bytes: usize) {
        self.total += bytes as u64;
        self.moved.add(bytes as u64);
    }

    /// The next `bytes` go to `sink`.
    fn pass(&mut self, sink: &OwnedFd, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            match splice_some(self.stream, sink, bytes) {
                Ok(0) => return Err(EndsEarly.into()),
                Ok(count) => {
                    self.count(count);
                    bytes = bytes.saturating_sub(count as u64);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context(STOPPED),
            }
        }
        Ok(())
    }

    /// The next `bytes` go nowhere.
    fn skip(&mut self, mut bytes: u64) -> Result<()> {
        let mut piece = vec![0; 64 * 1024];
        while bytes > 0 {
            let most = usize::try_from(bytes)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            let wanted = piece.get_mut(..most).unwrap_or_default();
            let count = self
                .read_some(wanted)
                .context("kopia's pipe could not be read")?;
            if count == 0 {
                return Err(EndsEarly.into());
            }
            bytes -= count as u64;
        }
        Ok(())
    }

    /// The zeros that fill up the last record. Tar may have gone by then.
    fn end(&mut self, sink: &OwnedFd) -> Result<()> {
        let mut piece = vec![0; 64 * 1024];
        let mut is_there = write_all(sink, &self.held).is_ok();
        let mut total = 0;
        loop {
            let count = self
                .read_some(&mut piece)
                .context("kopia's pipe could not be read")?;
            let fill = piece.get(..count).unwrap_or_default();
            if fill.is_empty() {
                return Ok(());
            }
            total += count as u64;
            if total > MAX_RECORD || fill.iter().any(|byte| *byte != 0) {
                return Err(
                    refused(anyhow::anyhow!("something follows the end of the archive")).into(),
                );
            }
            is_there = is_there && write_all(sink, fill).is_ok();
        }
    }
}

/// Moves what `gate` lets through out of `source` into `sink` on a thread of its own; closes both and resolves to the number of bytes that
/// came, whether they were let through or not.
pub fn pump(
    source: OwnedFd,
    sink: OwnedFd,
    mut lets_through: impl FnMut(&Member) -> Result<bool> + Send + 'static,
    moved: Activity,
) -> Result<oneshot::Receiver<Result<u64>>> {
    blocking::start(move || {
        let mut source = Source {
            stream: &source,
            held: Vec::new(),
            total: 0,
            moved: &moved,
        };
        while let Some((member, stored)) = next_member(&mut source).map_err(explain)? {
            if lets_through(&member)? {
                write_all(&sink, &source.held)?;
                source.pass(&sink, stored)?;
            } else {
                source.skip(stored)?;
            }
            source.held.clear();
        }
        source.end(&sink)?;
        Ok(source.total)
    })
}

fn write_all(sink: &OwnedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(sink, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context(STOPPED),
        }
    }
    Ok(())
}

fn explain(error: anyhow::Error) -> anyhow::Error {
    let cause = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>());
    match cause {
        Some(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => EndsEarly.into(),
        Some(_) => error.context("kopia's pipe could not be read"),
        None => refused(error).into(),
    }
}

fn refused(why: anyhow::Error) -> Failure {
    Failure::new(Exit::UnitsFailed, "its archive is not as it should be")
        .caused_by(why)
        .hint("take another restore point")
}
