//! Bytes that are moved, counted by who moves them and looked at by who waits: as long as they grow, the work is not stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::heartbeat;

/// Bytes that another process moved for a child. Any change is a sign of life.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<AtomicU64>);

impl Activity {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        heartbeat::beat();
    }

    /// Whether both count the same thing.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Says each time it is asked whether it has grown since the last time.
    pub fn grows(&self) -> impl FnMut() -> bool {
        let mut last = self.total();
        move || {
            let now = self.total();
            std::mem::replace(&mut last, now) != now
        }
    }
}

/// How often to look for signs of life that may stay away for `limit`.
pub fn poll(limit: Duration) -> Duration {
    (limit / 10).clamp(Duration::from_millis(50), Duration::from_secs(1))
}

/// Resolves when `goes_on` has seen no sign of life for `limit`.
pub async fn silent_for(limit: Duration, mut goes_on: impl FnMut() -> bool) {
    let mut since = Instant::now();
    loop {
        sleep(poll(limit)).await;
        if goes_on() {
            since = Instant::now();
        } else if since.elapsed() >= limit {
            return;
        }
    }
}
