//! Which starts of this machine are connected by shutdowns in which everything was written out. A file system that was cut off may have
//! new content under an old time of change, so that an index of the time before proves nothing.
//!
//! `kopi-docka-clean.service` tells when the machine starts and when it is shut down, as the last one before file systems go. A shutdown
//! of which it did not tell was none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ground::boot_id;
use super::session;
use crate::base::files;
use crate::error::Result;

/// More than an index lives through.
const MOST: usize = 100;

/// Starts, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    connected: Vec<Start>,
    /// The last one of them was shut down, and everything was written out.
    is_shut_down: bool,
}

/// One start of the machine, and the sessions of its file systems: one that came or went in between may have been cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Start {
    id: String,
    /// Soon after it began.
    first: BTreeSet<u64>,
    /// As it ended; empty while it goes on.
    last: BTreeSet<u64>,
}

/// A start, and the session that a file system has in it.
pub type At<'a> = (&'a str, u64);

impl Starts {
    /// None where nothing is known. Blocks.
    pub fn read(state: &Path) -> Self {
        let bytes = std::fs::read(file(state)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Whether all between `then` and `now`, of the start that goes on, is known to have been written out.
    pub fn connect(&self, then: At<'_>, now: At<'_>) -> bool {
        if then.0 == now.0 {
            return then == now;
        }
        let mut after = self.connected.iter().skip_while(|start| start.id != then.0);
        let is_there_at_last = after
            .next()
            .is_some_and(|start| start.last.contains(&then.1));
        let mut between: Vec<&Start> = after.collect();
        let is_there_from_the_first = between
            .pop()
            .is_some_and(|start| start.id == now.0 && start.first.contains(&now.1));
        let is_all_the_time = |start: &&Start| start.first.is_subset(&start.last);
        is_there_at_last && is_there_from_the_first && between.iter().all(is_all_the_time)
    }

    fn begun(mut self, now: String, first: BTreeSet<u64>) -> Self {
        let is_last = |last: &Start| last.id == now;
        if !self.connected.last().is_some_and(is_last) {
            if !self.is_shut_down {
                self.connected.clear();
            }
            self.connected.push(Start {
                id: now,
                first,
                last: BTreeSet::new(),
            });
        }
        let surplus = self.connected.len().saturating_sub(MOST);
        self.connected.drain(..surplus);
        self.is_shut_down = false;
        self
    }

    fn ended(mut self, now: &str, last: BTreeSet<u64>) -> Self {
        let start = self.connected.last_mut().filter(|start| start.id == now);
        self.is_shut_down = start.map(|start| start.last = last).is_some();
        self
    }

    fn write(&self, state: &Path) -> Result<()> {
        files::write(&file(state), &serde_json::to_vec(self)?)
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("starts")
}

/// The machine has started: what it said when it was shut down counts once. Blocks.
pub fn begin(state: &Path) -> Result<()> {
    Starts::read(state)
        .begun(boot_id()?, session::all())
        .write(state)
}

/// The machine is being shut down, and whatever wrote to files has ended. Blocks.
pub fn end(state: &Path) -> Result<()> {
    let now = boot_id()?;
    let before = Starts::read(state);
    let sessions = session::all();
    rustix::fs::sync();
    before.ended(&now, sessions).write(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(all: &[u64]) -> BTreeSet<u64> {
        all.iter().copied().collect()
    }

    /// In each start the file system has the session of that number.
    fn begun(starts: Starts, id: &str) -> Starts {
        starts.begun(id.to_owned(), sessions(&[number(id), 100]))
    }

    fn ended(starts: Starts, id: &str) -> Starts {
        starts.ended(id, sessions(&[number(id), 100]))
    }

    fn number(id: &str) -> u64 {
        id.bytes().map(u64::from).sum()
    }

    fn connect(starts: &Starts, then: &str, now: &str) -> bool {
        starts.connect((then, number(then)), (now, number(now)))
    }

    fn starts() -> Starts {
        begun(Starts::default(), "a")
    }

    #[test]
    fn starts_are_connected_by_shutdowns_that_were_told() {
        let one = starts();
        assert!(connect(&one, "a", "a") && !connect(&one, "x", "a"));
        let two = begun(ended(one, "a"), "b");
        assert!(connect(&two, "a", "b") && connect(&two, "b", "b"));
        let three = begun(ended(two.clone(), "b"), "c");
        assert!(connect(&three, "a", "c"));
        // The power went while `b` ran.
        let cut = begun(two.clone(), "c");
        assert!(!connect(&cut, "a", "c") && !connect(&cut, "b", "c"));
        // Nobody told that `c` began.
        assert!(!connect(&two, "a", "c"));
    }

    #[test]
    fn a_file_system_that_was_mounted_anew_in_between_is_not_connected() {
        let two = begun(ended(starts(), "a"), "b");
        let (a, b) = (number("a"), number("b"));
        assert!(two.connect(("a", a), ("b", b)));
        assert!(
            !two.connect(("a", a + 50), ("b", b)),
            "after the index was made"
        );
        assert!(
            !two.connect(("a", a), ("b", b + 50)),
            "since the machine was started"
        );
        assert!(!two.connect(("b", b), ("b", b + 50)), "in one start");
        let other = two.clone().ended("b", sessions(&[b + 50, 100]));
        assert!(
            !connect(&begun(other, "c"), "a", "c"),
            "while nothing was saved"
        );
    }

    #[test]
    fn what_is_told_twice_or_by_another_start_connects_nothing() {
        // Stopped by hand, and started again: it goes on.
        let again = begun(ended(starts(), "a"), "a");
        assert!(!connect(&begun(again, "b"), "a", "b"));
        let other = ended(starts(), "x");
        assert!(!connect(&begun(other, "b"), "a", "b"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut starts = Starts::default();
        for number in 0..300 {
            let id = number.to_string();
            starts = ended(begun(starts, &id), &id);
        }
        assert_eq!(starts.connected.len(), MOST);
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path()).unwrap();
        end(folder.path()).unwrap();
        let read = Starts::read(folder.path());
        let [start] = &*read.connected else {
            panic!("{read:?}");
        };
        assert!(read.is_shut_down && start.id == boot_id().unwrap());
        assert_eq!(
            (&start.first, &start.last),
            (&session::all(), &session::all())
        );
        std::fs::write(file(folder.path()), "{").unwrap();
        assert_eq!(Starts::read(folder.path()), Starts::default());
    }
}
