//! The bounded buffer between `tar` and `kopia`: it lets the window end when the data is read, not when it is stored.
//!
//! A FIFO on a file without a name. The *filler* thread copies what tar writes into the file, the *drainer* thread
//! moves it on into kopia's stdin, by `splice`, and what kopia has taken is punched out of the file when another spool needs
//! the space. All spools of a run share one [`Budget`]
//! ([`budget`], which gives way to the [`floor`] of free space; [`held`] is what a spool has of it). Where it is used up, or the disk is full,
//! tar's bytes go straight to kopia as soon as everything before them has gone: slower, never wrong.
//!
//! The drainer closes kopia's stdin only after [`Spool::commit`], and never after an error; [`Spool::abort`] closes it too
//! and is for when kopia is dead already.

mod budget;
mod floor;
mod held;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use tokio::sync::oneshot;

pub use budget::Budget;
pub use floor::Floor;

use self::held::Held;
use crate::base::activity::Activity;
use crate::error::{Exit, Failure, Result};

/// What moves at once: as much as a pipe holds.
const CHUNK: u64 = 1024 * 1024;
/// Holes need not be larger than this.
const MAX_PUNCH: u64 = 8 * CHUNK;
/// How often a filler without room looks whether other spools have given some back.
const RECHECK: Duration = Duration::from_millis(20);

pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    file: Option<File>,
    budget: Budget,
    /// Freed in pieces of at least this: each hole costs a transaction of the file system.
    punch: u64,
    filled: Activity,
    taken: Activity,
}

struct State {
    /// Bytes that came out of tar, through the file or past it.
    total: u64,
    /// Offsets in the file, which holds only what went through it: put in up to `written`, sent on up to `sent`,
    /// punched out up to `freed`. What lies between `freed` and `written` counts against the budget.
    written: u64,
    sent: u64,
    freed: u64,
    /// One of the threads punches a hole from `freed` on.
    is_punching: bool,
    /// The disk was full when `freed` had this value.
    full_at: Option<u64>,
    /// The file cannot get longer: it begins anew when it is empty.
    is_too_long: bool,
    verdict: Verdict,
    sink: Option<Arc<OwnedFd>>,
    filler: Filler,
}

/// What the filler does now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filler {
    /// It takes what tar gives.
    Takes,
    /// It has nowhere to put a byte.
    Waits,
    /// It sends by itself; the drainer keeps out.
    Sends,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Open,
    Commit,
    Abort,
}

enum Room {
    /// So many bytes of the budget are taken for it.
    File(u64),
    Sink(Arc<OwnedFd>),
    Aborted,
}

impl State {
    /// For a file that holds nothing: the next byte goes to its beginning.
    fn begin_anew(&mut self) {
        self.written = 0;
        self.sent = 0;
        self.freed = 0;
        self.is_too_long = false;
        self.full_at = None;
    }
}

impl Spool {
    /// A spool in `folder`, which must exist; without one every byte goes straight through.
    pub fn new(folder: Option<&Path>, budget: Budget) -> Result<Self> {
        let file = folder.map(nameless_file).transpose()?;
        let punch = (budget.limit() / 4).clamp(1, MAX_PUNCH);
        Ok(Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    total: 0,
                    written: 0,
                    sent: 0,
                    freed: 0,
                    is_punching: false,
                    full_at: None,
                    is_too_long: false,
                    verdict: Verdict::Open,
                    sink: None,
                    filler: Filler::Takes,
                }),
                changed: Condvar::new(),
                file,
                budget,
                punch,
                filled: Activity::default(),
                taken: Activity::default(),
            }),
        })
    }

    /// Counts what came out of tar.
    pub fn filled(&self) -> Activity {
        self.shared.filled.clone()
    }

    /// Counts what kopia has taken.
    pub fn taken(&self) -> Activity {
        self.shared.taken.clone()
    }

    /// Whether tar has room now: when it moves nothing then, it is stuck.
    pub fn has_room(&self) -> bool {
        let state = lock(&self.shared.state);
        match state.filler {
            Filler::Takes => true,
            Filler::Waits => false,
            Filler::Sends => state.sink.as_ref().is_none_or(|sink| has_room(sink)),
        }
    }

    /// Whether something is there for kopia now: when it takes nothing then, it is stuck.
    pub fn waits_for_kopia(&self) -> bool {
        let state = lock(&self.shared.state);
        state
            .sink
            .as_ref()
            .is_some_and(|sink| state.sent < state.written || !has_room(sink))
    }

    /// Moves everything out of `source` on a thread of its own; resolves to the number of bytes at its end.
    pub fn fill(&self, source: OwnedFd) -> Result<oneshot::Receiver<Result<u64>>> {
        let shared = Arc::clone(&self.shared);
        on_thread("fill", move || shared.fill(&source))
    }

    /// Moves everything into `sink` on a thread of its own; resolves when the sink is closed after a commit. After an error
    /// the sink stays open until [`Spool::abort`].
    pub fn drain(&self, sink: OwnedFd) -> Result<oneshot::Receiver<Result<()>>> {
        let sink = Arc::new(sink);
        let shared = Arc::clone(&self.shared);
        lock(&shared.state).sink = Some(Arc::clone(&sink));
        shared.changed.notify_all();
        on_thread("drain", move || {
            let result = shared.drain(&sink);
            // Kopia commits at the end of its input: after an error it must not see one before the abort.
            if result.is_ok() {
                lock(&shared.state).sink = None;
            }
            drop(sink);
            result
        })
    }

    /// Everything that tar has to say is in the spool, and tar ended well: kopia may commit.
    pub fn commit(&self) {
        self.decide(Verdict::Commit);
    }

    /// Ends both threads. Kopia must be dead: its stdin is closed by this.
    pub fn abort(&self) {
        self.decide(Verdict::Abort);
    }

    fn decide(&self, verdict: Verdict) {
        let mut state = lock(&self.shared.state);
        if state.verdict == Verdict::Open || verdict == Verdict::Abort {
            state.verdict = verdict;
        }
        if verdict == Verdict::Abort {
            state.sink = None;
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    fn fill(&self, source: &OwnedFd) -> Result<u64> {
        let mut held = Held::new();
        loop {
            let moved = match self.room() {
                Room::File(room) => self.fill_file(source, &mut held, room)?,
                Room::Sink(sink) => Some(self.pass_through(source, &mut held, &sink)?),
                Room::Aborted => anyhow::bail!("the transfer was given up"),
            };
            match moved {
                None => {}
                Some(0) => return Ok(lock(&self.state).total),
                Some(bytes) => self.filled.add(bytes),
            }
        }
    }

    /// Waits until there is somewhere to put a chunk.
    fn room(&self) -> Room {
        let mut state = lock(&self.state);
        loop {
            if state.verdict == Verdict::Abort {
                return Room::Aborted;
            }
            if state.is_too_long && state.freed == state.written && !state.is_punching {
                state.begin_anew();
            }
            let disk_has_room =
                !state.is_too_long && state.full_at.is_none_or(|at| state.freed > at);
            if self.file.is_some()
                && disk_has_room
                && let Some(bytes) = self.budget.take(CHUNK)
            {
                state.full_at = None;
                state.filler = Filler::Takes;
                return Room::File(bytes);
            }
            if state.sent == state.written
                && let Some(sink) = state.sink.clone()
            {
                if state.freed < state.written {
                    let is_free;
                    (state, is_free) = self.free(state, &sink, 1);
                    if is_free || state.sent < state.written || state.verdict == Verdict::Abort {
                        continue;
                    }
                }
                // A file that is to begin anew is empty as soon as kopia has read what is on its way: then there is room again.
                let is_unread = state.freed < state.written
                    && rustix::io::ioctl_fionread(&*sink).is_ok_and(|unread| unread > 0);
                if !(state.is_too_long && is_unread) {
                    state.filler = Filler::Sends;
                    return Room::Sink(sink);
                }
            }
            state.filler = Filler::Waits;
            state = self
                .changed
                .wait_timeout(state, RECHECK)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }

    /// `None` when the disk is full; what was read then is still held.
    fn fill_file(&self, source: &OwnedFd, held: &mut Held, room: u64) -> Result<Option<u64>> {
        let Some(file) = &self.file else {
            return Ok(None);
        };
        if held.is_empty() {
            // No lock of the file is held while tar is silent: somebody may want to punch a hole.
            let read = held.read(source, room);
            if matches!(read, Ok(0) | Err(_)) {
                self.budget.give_back(room);
                return read
                    .map(|_| Some(0))
                    .context("tar's pipe could not be read");
            }
        }
        let offset = lock(&self.state).written;
        let (moved, result) = held.write_to(file, offset, room);
        self.budget.give_back(room - moved.min(room));
        let mut state = lock(&self.state);
        state.total += moved;
        state.written += moved;
        self.changed.notify_all();
        match result {
            Ok(()) => Ok(Some(moved)),
            Err(Errno::NOSPC | Errno::DQUOT) => {
                state.full_at = Some(state.freed);
                Ok((moved > 0).then_some(moved))
            }
            // Offsets only grow, holes are not used again: a source can be larger than a file of that file system.
            Err(Errno::FBIG) => {
                state.is_too_long = true;
                Ok((moved > 0).then_some(moved))
            }
            Err(error) => Err(error).context("the spool file could not be written"),
        }
    }

    fn pass_through(&self, source: &OwnedFd, held: &mut Held, sink: &OwnedFd) -> Result<u64> {
        let result = if held.is_empty() {
            splice_limited(source, None, sink, None, CHUNK)
        } else {
            held.send(sink)
        };
        let mut state = lock(&self.state);
        state.filler = Filler::Takes;
        let moved = *result.as_ref().unwrap_or(&0);
        state.total += moved;
        self.taken.add(moved);
        self.changed.notify_all();
        result.map_err(sink_error)
    }

    fn drain(&self, sink: &OwnedFd) -> Result<()> {
        while let Some(from) = self.next_to_send() {
            let Some(file) = &self.file else {
                return Ok(());
            };
            let mut offset = from.start;
            let bytes = splice_limited(file, Some(&mut offset), sink, None, from.end - from.start)
                .map_err(sink_error)?;
            if bytes == 0 {
                anyhow::bail!("the spool file is shorter than it was written");
            }
            self.taken.add(bytes);
            let mut state = lock(&self.state);
            state.sent += bytes;
            let is_all = state.sent == state.written;
            // Whoever waits for what was sent need not wait for the hole too.
            self.changed.notify_all();
            if self.budget.is_tight() {
                drop(self.free(state, sink, if is_all { 1 } else { self.punch }));
            }
        }
        let state = lock(&self.state);
        if state.verdict == Verdict::Abort {
            anyhow::bail!("the transfer was given up");
        }
        Ok(())
    }

    /// The bytes in the file that kopia has not been sent yet; `None` when there will be no more.
    fn next_to_send(&self) -> Option<std::ops::Range<u64>> {
        let mut state = lock(&self.state);
        loop {
            match state.verdict {
                Verdict::Abort => return None,
                Verdict::Commit if state.sent == state.written => return None,
                _ if state.filler != Filler::Sends && state.sent < state.written => {
                    return Some(state.sent..state.written.min(state.sent + CHUNK));
                }
                _ => {}
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Punches out what kopia has read, once it is at least `threshold` bytes, and says whether it did.
    ///
    /// What is still in the pipe are references to the file's pages: a hole punched there would be seen by kopia as zeros.
    /// `state` is let go meanwhile: a file system takes its time for a hole, and nobody who asks how it goes must wait for that.
    fn free<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        sink: &OwnedFd,
        threshold: u64,
    ) -> (MutexGuard<'a, State>, bool) {
        let Some(file) = &self.file else {
            return (state, false);
        };
        let Ok(unread) = rustix::io::ioctl_fionread(sink) else {
            return (state, false);
        };
        let (from, read) = (state.freed, state.sent.saturating_sub(unread));
        let length = read.saturating_sub(from);
        if length < threshold || state.is_punching {
            return (state, false);
        }
        state.is_punching = true;
        drop(state);
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // A file system without holes keeps the bytes: then the budget stays used, and tar goes at kopia's pace.
        let is_free = fallocate(file, flags, from, length).is_ok();
        let mut state = lock(&self.state);
        state.is_punching = false;
        if is_free {
            state.freed += length;
            self.budget.give_back(length);
        }
        self.changed.notify_all();
        (state, is_free)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = lock(&self.state);
        self.budget.give_back(state.written - state.freed);
    }
}

fn splice_limited(
    from: &impl AsFd,
    mut from_offset: Option<&mut u64>,
    to: &impl AsFd,
    mut to_offset: Option<&mut u64>,
    limit: u64,
) -> Result<u64, Errno> {
    loop {
        let moved = splice(
            from,
            from_offset.as_deref_mut(),
            to,
            to_offset.as_deref_mut(),
            limit as usize,
            SpliceFlags::empty(),
        );
        match moved {
            Err(Errno::INTR) => {}
            moved => return moved.map(|bytes| bytes as u64),
        }
    }
}

/// Whether a pipe takes at least a page now. One without a reader does: there is nothing to wait for.
fn has_room(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::OUT)];
    let at_once = Timespec::default();
    poll(&mut fds, Some(&at_once)).map_or(true, |ready| ready > 0)
}

fn sink_error(error: Errno) -> anyhow::Error {
    match error {
        Errno::PIPE => KopiaLeft.into(),
        error => anyhow::Error::from(error).context("the spool could not be read"),
    }
}

/// Its own end tells why.
#[derive(Debug, thiserror::Error)]
#[error("kopia stopped reading its input")]
pub struct KopiaLeft;

/// A file that only we can see and that is gone with us.
fn nameless_file(folder: &Path) -> Result<File> {
    let tmpfile = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::TMPFILE.bits() as i32)
        .mode(0o600)
        .open(folder);
    match tmpfile {
        Ok(file) => Ok(file),
        // Not every file system has nameless files.
        Err(_) => tempfile::tempfile_in(folder).map_err(|error| {
            Failure::new(
                Exit::Config,
                format!("no spool file can be made in `{}`", folder.display()),
            )
            .hint("`backup.spool.directory` must be a directory on a writable disk; `backup.spool.size` 0 does without")
            .caused_by(error)
            .into()
        }),
    }
}

fn on_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        // Enough for a loop around two system calls.
        .stack_size(128 * 1024)
        .spawn(move || {
            // The caller may be gone; then the answer is not needed.
            let _ = sender.send(work());
        })
        .context("no thread can be started")?;
    Ok(receiver)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
