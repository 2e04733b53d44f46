//! Directories that are read before a walk comes to them, on another thread: half of what a walk does is waiting for the kernel.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::{Errno, Result};

use super::stat::Stat;

/// So many that were read wait for the walk, each with a descriptor.
const MOST: usize = 32;

/// A directory with what the kernel says of all in it, by name; sockets and what vanished left out.
pub struct Listing {
    pub directory: Arc<OwnedFd>,
    pub entries: Vec<(CString, Stat)>,
}

/// `None` when it is gone, or is something else by now.
type Read = Result<Option<Listing>>;

/// A directory that the walk will come to.
#[derive(Clone)]
pub struct Promised(Arc<Mutex<State>>);

enum State {
    Asked { above: Arc<OwnedFd>, name: CString },
    Begun,
    Read(Read),
    Taken,
}

/// What is still to be read, the next first.
#[derive(Default)]
pub struct Ahead {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    next: VecDeque<Promised>,
    /// Read, and not yet taken.
    waiting: usize,
    is_over: bool,
}

impl Promised {
    pub fn new(above: &Arc<OwnedFd>, name: &CStr) -> Self {
        Self(Arc::new(Mutex::new(State::Asked {
            above: Arc::clone(above),
            name: name.to_owned(),
        })))
    }

    fn begin(&self) -> Option<(Arc<OwnedFd>, CString)> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Begun) {
            State::Asked { above, name } => Some((above, name)),
            other => {
                *state = other;
                None
            }
        }
    }
}

impl Ahead {
    /// The walk comes to `all`, in this order, before it comes to what it was told of before.
    pub fn promise(&self, all: impl DoubleEndedIterator<Item = Promised>) {
        let mut queue = lock(&self.queue);
        all.rev().for_each(|one| queue.next.push_front(one));
        drop(queue);
        self.changed.notify_all();
    }

    /// Waits for it, or reads it itself where nobody has begun.
    pub fn take(&self, promised: &Promised, root: u64) -> Read {
        if let Some((above, name)) = promised.begin() {
            return read(&*above, &name, root);
        }
        let mut queue = lock(&self.queue);
        loop {
            {
                let mut state = lock(&promised.0);
                if !matches!(*state, State::Begun) {
                    queue.waiting = queue.waiting.saturating_sub(1);
                    self.changed.notify_all();
                    return match std::mem::replace(&mut *state, State::Taken) {
                        State::Read(read) => read,
                        // Nobody takes one twice.
                        _ => Ok(None),
                    };
                }
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads what was promised until the walk is over.
    pub fn work(&self, root: u64) {
        while let Some(promised) = self.next() {
            let Some((above, name)) = promised.begin() else {
                continue;
            };
            let read = read(&*above, &name, root);
            let mut queue = lock(&self.queue);
            *lock(&promised.0) = State::Read(read);
            queue.waiting += 1;
            drop(queue);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Promised> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.is_over {
                return None;
            }
            if queue.waiting < MOST
                && let Some(next) = queue.next.pop_front()
            {
                return Some(next);
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn end(&self) {
        let mut queue = lock(&self.queue);
        queue.is_over = true;
        queue.next.clear();
        drop(queue);
        self.changed.notify_all();
    }
}

/// The directory `name` in `above`, of a source whose root is on the device `root`.
pub fn read(above: impl AsFd, name: &CStr, root: u64) -> Read {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match openat(above, name, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." && entry.file_type() != FileType::Socket {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    let mut entries = Vec::with_capacity(names.len());
    for name in names {
        match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => {
                let found = Stat::of(&found).relative_to(root);
                if found.kind() != FileType::Socket {
                    entries.push((name, found));
                }
            }
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(Listing {
        directory: Arc::new(directory),
        entries,
    }))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
