//! How much the spools of a run may hold together.

use std::sync::{Arc, Mutex};

use super::lock;

/// Less than this isn't worth the system calls.
const LEAST: u64 = 64 * 1024;

/// Bytes that all spools of a run may hold together.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Mutex<Account>>);

#[derive(Debug)]
struct Account {
    limit: u64,
    used: u64,
    peak: u64,
}

impl Budget {
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Mutex::new(Account {
            limit,
            used: 0,
            peak: 0,
        })))
    }

    pub(super) fn limit(&self) -> u64 {
        lock(&self.0).limit
    }

    /// The most that was ever held at once.
    pub fn peak(&self) -> u64 {
        lock(&self.0).peak
    }

    /// As much of `bytes` as there is, if it is worth a move.
    pub(super) fn take(&self, bytes: u64) -> Option<u64> {
        let mut account = lock(&self.0);
        let granted = bytes.min(account.limit.saturating_sub(account.used));
        if granted < bytes.min(LEAST) {
            return None;
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
        let budget = Budget::new(3 * LEAST);
        assert_eq!(budget.take(2 * LEAST), Some(2 * LEAST));
        assert_eq!(budget.take(2 * LEAST), Some(LEAST));
        assert_eq!(budget.take(2 * LEAST), None);
        budget.give_back(LEAST - 1);
        assert_eq!(budget.take(2 * LEAST), None);
        budget.give_back(2 * LEAST + 1);
        assert_eq!((budget.used(), budget.peak()), (0, 3 * LEAST));
        assert_eq!(Budget::new(LEAST - 1).take(2 * LEAST), None);
    }
}
