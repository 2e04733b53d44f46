//! The clock that file times are taken from, and whether it can be trusted tonight.

use std::time::Duration;

use super::ground::setting;
use rustix::time::{ClockId, clock_gettime};

const SECOND: i64 = 1_000_000_000;
/// What a clock that is kept right by NTP may differ by.
const STEP: i64 = SECOND / 10;

/// Nanoseconds since 1970, as the kernel writes them into files: what is changed after this is never older.
pub fn now() -> i64 {
    nanoseconds(ClockId::RealtimeCoarse)
}

/// How far the clock is ahead of the time since the machine was started; it jumps when somebody sets the clock.
pub fn offset() -> i64 {
    nanoseconds(ClockId::Realtime) - nanoseconds(ClockId::Boottime)
}

pub fn uptime() -> Duration {
    Duration::from_nanos(nanoseconds(ClockId::Boottime).unsigned_abs())
}

/// Whether the clock was set between two offsets.
pub fn was_set(before: i64, after: i64) -> bool {
    before.abs_diff(after) > STEP.unsigned_abs()
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * SECOND + time.tv_nsec
}

/// How long a call that writes may last before it counts as one that never ends: it moves the time of a file when it begins.
pub fn margin() -> Duration {
    const LEAST: Duration = Duration::from_secs(120);
    let text = setting("vm/dirty_expire_centisecs").unwrap_or_default();
    let expire = text.trim().parse().unwrap_or(0_u32);
    LEAST.max(4 * Duration::from_millis(10) * expire)
}
