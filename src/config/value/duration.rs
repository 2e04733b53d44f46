//! Durations with their unit: `"6h"`, `"90s"`, or a plain number of seconds.

use std::time::Duration;

use serde::{Deserializer, Serialize as _, Serializer};
use serde_json::Value;

use super::{read, read_or_null};

/// Seconds of each unit, the longest first.
const UNITS: [(char, u64); 5] = [
    ('w', 604_800),
    ('d', 86_400),
    ('h', 3600),
    ('m', 60),
    ('s', 1),
];

fn duration(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(number) => number.as_u64().map(Duration::from_secs),
        Value::String(text) => parse_duration(text),
        _ => None,
    }
}

/// A whole number and one of `s m h d w`; seconds without it.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, seconds_each) = UNITS
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)))
        .unwrap_or((text, 1));
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_plain)?;
    number.checked_mul(seconds_each).map(Duration::from_secs)
}

/// Exact: in the longest unit that divides it.
fn json(time: Duration) -> Value {
    let seconds = time.as_secs();
    UNITS
        .iter()
        .find(|(_, each)| seconds.is_multiple_of(*each))
        .map_or_else(
            || Value::from(seconds),
            |(unit, each)| Value::from(format!("{}{unit}", seconds / each)),
        )
}

/// A duration that may be none: `null` or 0.
pub mod optional_duration {
    use super::*;

    pub fn serialize<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        time.map_or(Value::Null, json).serialize(serializer)
    }

    /// `MOST` is in seconds.
    pub fn deserialize<'de, const MOST: u64, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let most = json(Duration::from_secs(MOST));
        let expected = format!(
            "a duration up to {most}: a number of seconds, or a whole number with s, m, h, d or w such as \"6h\"; 0 or null for none"
        );
        let is_short = |time: &Duration| time.as_secs() <= MOST;
        let read = read_or_null(deserializer, &expected, |value| {
            duration(value).filter(is_short)
        })?;
        Ok(read.filter(|time| !time.is_zero()))
    }
}

/// A duration that there is: at least a second.
pub mod required_duration {
    use super::*;

    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        json(*time).serialize(serializer)
    }

    /// `MOST` is in seconds.
    pub fn deserialize<'de, const MOST: u64, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let most = json(Duration::from_secs(MOST));
        let expected = format!(
            "a duration from 1s to {most}: a number of seconds, or a whole number with s, m, h, d or w such as \"10m\""
        );
        read(deserializer, &expected, |value| {
            super::duration(value).filter(|time| (1..=MOST).contains(&time.as_secs()))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_its_unit_or_of_seconds() {
        for (value, seconds) in [
            (json!("6h"), Some(21_600)),
            (json!(" 90s "), Some(90)),
            (json!("10m"), Some(600)),
            (json!("90d"), Some(7_776_000)),
            (json!("2w"), Some(1_209_600)),
            (json!("3600"), Some(3600)),
            (json!(3600), Some(3600)),
            (json!(0), Some(0)),
            (json!(""), None),
            (json!("h"), None),
            (json!("6 h"), None),
            (json!("1.5h"), None),
            (json!("+6h"), None),
            (json!("-6h"), None),
            (json!("1h30m"), None),
            (json!("10ms"), None),
            (json!("99999999999999999999h"), None),
            (json!("9999999999999999999w"), None),
            (json!(-1), None),
            (json!(1.5), None),
            (json!(true), None),
        ] {
            assert_eq!(
                duration(&value).map(|time| time.as_secs()),
                seconds,
                "{value}"
            );
        }
    }

    #[test]
    fn a_duration_is_shown_exactly() {
        let shown = |seconds| super::json(Duration::from_secs(seconds));
        assert_eq!(shown(21_600), json!("6h"));
        assert_eq!(shown(86_400), json!("1d"));
        assert_eq!(shown(90), json!("90s"));
        assert_eq!(shown(5400), json!("90m"));
    }
}
