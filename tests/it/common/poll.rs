//! Waiting without sleeping longer than it takes.

use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(10);

/// Asks `probe` until it has an answer; panics after `timeout`, saying that it waited for `what`.
#[track_caller]
pub fn until<T>(what: &str, timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    within(timeout, &mut probe).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}"))
}

/// As [`until`], but `None` when the time is over.
pub fn within<T>(timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(INTERVAL);
    }
}
