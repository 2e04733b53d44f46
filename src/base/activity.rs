//! Bytes that are moved, counted by who moves them and looked at by who waits: as long as they grow, nobody is stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::pulse;

/// Bytes that somebody else moved for a child. Any change is a sign of life.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<AtomicU64>);

impl Activity {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        pulse::beat();
    }

    /// Whether both count the same thing.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
