//! Whole numbers within a range, some of them seconds.

use std::time::Duration;

use serde::{Deserializer, Serializer};
use serde_json::Value;

use super::{read, read_or_null};

/// A whole number from `MIN` to `MAX`. `T` must hold `MAX`.
pub fn whole<'de, const MIN: u64, const MAX: u64, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let expected = format!("a whole number from {MIN} to {MAX}");
    read(deserializer, &expected, |value| {
        in_range::<MIN, MAX>(value)?.try_into().ok()
    })
}

fn in_range<const MIN: u64, const MAX: u64>(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| (MIN..=MAX).contains(number))
}

/// Durations as whole seconds: `#[serde(serialize_with = "seconds::serialize")]`.
pub mod seconds {
    use super::*;

    pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.as_secs())
    }

    pub fn deserialize<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        read(deserializer, &expected(MIN, MAX), |value| {
            in_range::<MIN, MAX>(value).map(Duration::from_secs)
        })
    }

    pub(super) fn expected(min: u64, max: u64) -> String {
        format!("a whole number of seconds from {min} to {max}")
    }
}

/// Durations that may be missing: 0 is none, or `null` for a key that overrides another one.
pub mod optional_seconds {
    use super::*;

    pub fn serialize_zero<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(time.map_or(0, |time| time.as_secs()))
    }

    pub fn deserialize_zero<'de, const MAX: u64, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let expected = format!("{}, 0 for none", seconds::expected(0, MAX));
        read(deserializer, &expected, |value| {
            let number = in_range::<0, MAX>(value)?;
            Some((number > 0).then(|| Duration::from_secs(number)))
        })
    }

    pub fn serialize_null<S: Serializer>(
        time: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.serialize_u64(time.as_secs()),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize_null<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        read_or_null(deserializer, &seconds::expected(MIN, MAX), |value| {
            in_range::<MIN, MAX>(value).map(Duration::from_secs)
        })
    }
}
