//! Which starts of this machine are connected by shutdowns in which everything was written out. A file system that was cut off may have
//! new content under an old time of change, so that an index of the time before proves nothing.
//!
//! `kopi-docka-clean.service` tells when the machine starts and when it is shut down, as the last one before file systems go. A shutdown
//! of which it did not tell was none.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ground::boot_id;
use crate::base::files;
use crate::error::Result;

/// More than an index lives through.
const MOST: usize = 100;

/// Ids of starts, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    connected: Vec<String>,
    /// The last one of them was shut down, and everything was written out.
    is_shut_down: bool,
}

impl Starts {
    /// None where nothing is known. Blocks.
    pub fn read(state: &Path) -> Self {
        let bytes = std::fs::read(file(state)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Whether all between the start `then` and the start `now`, which goes on, is known to have been written out.
    pub fn connect(&self, then: &str, now: &str) -> bool {
        let is_now = self.connected.last().is_some_and(|last| last == now);
        then == now || (is_now && self.connected.iter().any(|id| id == then))
    }

    fn begun(mut self, now: String) -> Self {
        let is_last = |last: &String| *last == now;
        if !self.connected.last().is_some_and(is_last) {
            if !self.is_shut_down {
                self.connected.clear();
            }
            self.connected.push(now);
        }
        let surplus = self.connected.len().saturating_sub(MOST);
        self.connected.drain(..surplus);
        self.is_shut_down = false;
        self
    }

    fn ended(mut self, now: &str) -> Self {
        self.is_shut_down = self.connected.last().is_some_and(|last| last == now);
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
    Starts::read(state).begun(boot_id()?).write(state)
}

/// The machine is being shut down, and whatever wrote to files has ended. Blocks.
pub fn end(state: &Path) -> Result<()> {
    let now = boot_id()?;
    let before = Starts::read(state);
    rustix::fs::sync();
    before.ended(&now).write(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts() -> Starts {
        Starts::default().begun("a".to_owned())
    }

    #[test]
    fn starts_are_connected_by_shutdowns_that_were_told() {
        let one = starts();
        assert!(one.connect("a", "a") && !one.connect("x", "a"));
        let two = one.ended("a").begun("b".to_owned());
        assert!(two.connect("a", "b") && two.connect("b", "b"));
        let three = two.clone().ended("b").begun("c".to_owned());
        assert!(three.connect("a", "c"));
        // The power went while `b` ran.
        let cut = two.clone().begun("c".to_owned());
        assert!(!cut.connect("a", "c") && !cut.connect("b", "c"));
        // Nobody told that `c` began.
        assert!(!two.connect("a", "c"));
    }

    #[test]
    fn what_is_told_twice_or_by_another_start_connects_nothing() {
        // Stopped by hand, and started again: it goes on.
        let again = starts().ended("a").begun("a".to_owned());
        assert!(!again.begun("b".to_owned()).connect("a", "b"));
        let other = starts().ended("x");
        assert!(!other.begun("b".to_owned()).connect("a", "b"));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut starts = Starts::default();
        for number in 0..300 {
            let id = number.to_string();
            starts = starts.begun(id.clone()).ended(&id);
        }
        assert_eq!(starts.connected.len(), MOST);
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path()).unwrap();
        end(folder.path()).unwrap();
        let read = Starts::read(folder.path());
        assert!(read.is_shut_down && read.connected == [boot_id().unwrap()]);
        std::fs::write(file(folder.path()), "{").unwrap();
        assert_eq!(Starts::read(folder.path()), Starts::default());
    }
}
