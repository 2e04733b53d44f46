//! Values as people read them.

use std::fmt::Write as _;

use bytesize::ByteSize;
use chrono::{DateTime, TimeDelta, Utc};

/// Two digits each, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `1.5 GiB`
pub fn bytes(count: u64) -> String {
    ByteSize::b(count).display().iec().to_string()
}

/// `0.52 s`, `3 min 5 s`, `2 h 10 min`
pub fn seconds(value: f64) -> String {
    let whole = value.max(0.0) as u64;
    match whole {
        0..60 => format!("{value:.2} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `2025-01-31 02:00 UTC`
pub fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long ago `time` was: `5 min`, `3 h`, `12 d`.
pub fn age(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let passed = (now - time).num_seconds().max(0);
    match passed {
        0..60 => format!("{passed} s"),
        60..3600 => format!("{} min", passed / 60),
        3600..172_800 => format!("{} h", passed / 3600),
        _ => format!("{} d", passed / 86_400),
    }
}

/// `1 volume`, `3 volumes`
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Control characters escaped, so that a hostile name cannot drive the terminal or break a line.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Box<dyn Iterator<Item = char>> = if c.is_control() {
                Box::new(c.escape_default())
            } else {
                Box::new(std::iter::once(c))
            };
            escaped
        })
        .collect()
}

/// For snapshots that lie so far in the future.
pub fn clock_skew(ahead: TimeDelta) -> String {
    format!(
        "the newest snapshot is from {} min in the future: this host's clock is behind, or another one's is ahead",
        ahead.num_minutes()
    )
}

pub const CLOCK_REMEDY: &str = "see `timedatectl status` on every host of the repository";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_well() {
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(seconds(0.518), "0.52 s");
        assert_eq!(seconds(185.0), "3 min 5 s");
        assert_eq!(count(1, "volume"), "1 volume");
        assert_eq!(count(0, "volume"), "0 volumes");
        assert_eq!(printable("a\n\x1b[31mb"), "a\\n\\u{1b}[31mb");
    }
}
