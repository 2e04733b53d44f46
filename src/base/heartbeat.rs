//! Whether work goes on. Code that makes progress calls [`beat`]; the watchdog asks. One for the process, since there is one run.
//!
//! It decides nothing about a child: those that move nothing are ended by their caller, after `backup.stall_timeout`. What it
//! finds out is that even this did not happen.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

static LAST_MILLISECONDS: AtomicU64 = AtomicU64::new(0);
static PATIENCE: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // Suspended time does not count.
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Bytes have moved, a step has begun, Docker has answered.
pub fn beat() {
    LAST_MILLISECONDS.store(now(), Ordering::Relaxed);
}

/// How long nothing has moved.
pub fn silent_for() -> Duration {
    Duration::from_millis(now().saturating_sub(LAST_MILLISECONDS.load(Ordering::Relaxed)))
}

/// For as long as it lives, a silence of this length is as it should be.
#[must_use = "it ends when it is dropped"]
pub struct Patience(Duration);

/// For what ends by itself in time and shows nothing until then: a container that takes its grace, a program that is asked something.
pub fn allow(silence: Duration) -> Patience {
    patience().push(silence);
    Patience(silence)
}

impl Drop for Patience {
    fn drop(&mut self) {
        beat();
        let mut patience = patience();
        if let Some(index) = patience.iter().position(|one| *one == self.0) {
            patience.swap_remove(index);
        }
    }
}

/// The longest silence that is as it should be; none when nothing was allowed.
pub fn allowed() -> Option<Duration> {
    patience().iter().max().copied()
}

fn patience() -> std::sync::MutexGuard<'static, Vec<Duration>> {
    PATIENCE.lock().unwrap_or_else(PoisonError::into_inner)
}
