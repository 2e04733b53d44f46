//! How much the spools of a run may hold together.

use std::sync::{Arc, Mutex};

use super::floor::Floor;
use super::lock;

/// Less than this is not worth the system calls.
const LEAST: u64 = 64 * 1024;

/// Bytes that all spools of a run may hold together.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Mutex<Account>>);

#[derive(Debug)]
struct Account {
    limit: u64,
    used: u64,
    peak: u64,
    floor: Option<Floor>,
    /// A caller was told that there is no space.
    is_wanted: bool,
}

impl Budget {
    /// With `floor` nothing is given that the disk needs for others.
    pub fn new(limit: u64, floor: Option<Floor>) -> Self {
        Self(Arc::new(Mutex::new(Account {
            limit,
            used: 0,
            peak: 0,
            floor,
            is_wanted: false,
        })))
    }

    pub(super) fn limit(&self) -> u64 {
        lock(&self.0).limit
    }

    /// The most that was ever held at once.
    pub fn peak(&self) -> u64 {
        lock(&self.0).peak
    }

    /// Whether so much could be held now, or as much as there ever is; `None` is all of it.
    pub fn has_room_for(&self, bytes: Option<u64>) -> bool {
        let mut account = lock(&self.0);
        let wanted = bytes.unwrap_or(u64::MAX).min(account.limit);
        let has_room = account.used == 0 || account.limit.saturating_sub(account.used) >= wanted;
        account.is_wanted = !has_room;
        has_room
    }

    /// Whether what is no longer needed should be given back now. To punch a hole makes the disk write what was there, with the file
    /// locked against the filler: a spool with space to spare keeps it until its end, when nothing has to be written.
    pub(super) fn is_tight(&self) -> bool {
        let account = lock(&self.0);
        let is_scarce = account.floor.as_ref().is_some_and(Floor::is_scarce);
        account.is_wanted || is_scarce || account.used > account.limit / 2
    }

    /// As much of `bytes` as there is, if it is worth a move.
    pub(super) fn take(&self, bytes: u64) -> Option<u64> {
        let mut account = lock(&self.0);
        let mut granted = bytes.min(account.limit.saturating_sub(account.used));
        if let Some(floor) = &mut account.floor {
            granted = granted.min(floor.left(granted));
        }
        account.is_wanted = granted == 0 || granted < bytes.min(LEAST);
        if account.is_wanted {
            return None;
        }
        if let Some(floor) = &mut account.floor {
            floor.take(granted);
        }
        account.used += granted;
        account.peak = account.peak.max(account.used);
        Some(granted)
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        lock(&self.0).used
    }

    pub(super) fn give_back(&self, bytes: u64) {
        let mut account = lock(&self.0);
        account.used = account.used.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_given_as_long_as_it_is_worth_a_move() {
        let budget = Budget::new(3 * LEAST, None);
        assert_eq!(budget.take(2 * LEAST), Some(2 * LEAST));
        assert_eq!(budget.take(2 * LEAST), Some(LEAST));
        assert_eq!(budget.take(2 * LEAST), None);
        budget.give_back(LEAST - 1);
        assert_eq!(budget.take(2 * LEAST), None);
        budget.give_back(2 * LEAST + 1);
        assert_eq!((budget.used(), budget.peak()), (0, 3 * LEAST));
        assert_eq!(Budget::new(LEAST - 1, None).take(2 * LEAST), None);
    }

    #[test]
    fn what_the_disk_needs_for_others_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let free = super::super::floor::free(folder.path()).unwrap();
        let with = |floor| Budget::new(u64::MAX, Some(Floor::at(folder.path(), floor)));
        assert_eq!(with(free * 2).take(2 * LEAST), None);
        assert_eq!(with(0).take(2 * LEAST), Some(2 * LEAST));
    }
}
