//! Waiting without sleeping longer than it takes.

use std::time::{Duration, Instant};

/// What one waits for at first: most programs that a test runs end within a moment.
const SHORTEST: Duration = Duration::from_millis(1);
const INTERVAL: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);

/// Asks `probe` until it has an answer; panics after `timeout`, saying that it waited for `what`.
#[track_caller]
pub fn until<T>(what: &str, timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    within(timeout, &mut probe).unwrap_or_else(|| panic!("waited {timeout:?} in vain for {what}"))
}

/// As [`until`], but `None` when the time is over.
///
/// A probe that is a program of its own costs processor time that what it waits for needs too: it is asked less often.
pub fn within<T>(timeout: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    let deadline = began + timeout;
    loop {
        let asked = Instant::now();
        if let Some(answer) = probe() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        let pause = (began.elapsed() / 8).clamp(SHORTEST, INTERVAL);
        std::thread::sleep(pause.max(asked.elapsed() * 2).min(LONGEST));
    }
}
