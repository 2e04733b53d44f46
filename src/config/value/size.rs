//! Amounts of bytes: `"50GiB"`, `"1.5 GB"`, or a plain number.

use bytesize::ByteSize;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{read, read_or_null};

fn bytes(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text
            .trim()
            .parse::<ByteSize>()
            .ok()
            .map(|size| size.as_u64()),
        _ => None,
    }
}

/// Exact: the largest unit that divides `count`, such as `"50GiB"`; the plain number when none does.
fn json(count: u64) -> Value {
    const UNITS: [(&str, u32); 5] = [
        ("PiB", 50),
        ("TiB", 40),
        ("GiB", 30),
        ("MiB", 20),
        ("KiB", 10),
    ];
    UNITS
        .iter()
        .find(|(_, shift)| count >> shift > 0 && (count >> shift) << shift == count)
        .map_or_else(
            || Value::from(count),
            |(unit, shift)| Value::from(format!("{}{unit}", count >> shift)),
        )
}

/// How much the spool may hold, of all sources together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolSize {
    /// By what the host has.
    Auto,
    /// 0: no spool.
    Bytes(u64),
}

impl<'de> Deserialize<'de> for SpoolSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "\"auto\", 0 for none, or a size such as \"2GiB\"";
        read(deserializer, expected, |value| match value.as_str() {
            Some("auto") => Some(Self::Auto),
            _ => bytes(value).map(Self::Bytes),
        })
    }
}

impl Serialize for SpoolSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Bytes(count) => json(*count).serialize(serializer),
        }
    }
}

/// A limit in bytes, `null` for none.
pub mod optional_size {
    use super::*;

    pub fn serialize<S: Serializer>(size: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        size.map_or(Value::Null, json).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        let expected = "a size above 0 such as \"50GiB\", or null for no limit";
        read_or_null(deserializer, expected, |value| {
            bytes(value).filter(|count| *count > 0)
        })
    }
}

/// A limit in bytes; 0 for nothing at all.
pub mod exact_size {
    use super::*;

    pub fn serialize<S: Serializer>(size: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        json(*size).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        read(
            deserializer,
            "a size such as \"50MiB\", or 0 for none",
            bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_unit() {
        for (value, expected) in [
            (json!("50GiB"), Some(50 << 30)),
            (json!(" 1.5 KiB "), Some(1536)),
            (json!("2 GB"), Some(2_000_000_000)),
            (json!("4096"), Some(4096)),
            (json!(4096), Some(4096)),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("-1GiB"), None),
            (json!("much"), None),
            (json!(""), None),
            (json!(true), None),
        ] {
            assert_eq!(bytes(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_size_is_shown_exactly() {
        assert_eq!(super::json(50 << 30), json!("50GiB"));
        assert_eq!(super::json(1 << 20), json!("1MiB"));
        assert_eq!(super::json(1025), json!(1025));
        assert_eq!(super::json(0), json!(0));
    }

    #[test]
    fn the_spool_is_automatic_none_or_of_a_size() {
        let read = |value| serde_json::from_value::<SpoolSize>(value).ok();
        assert_eq!(read(json!("auto")), Some(SpoolSize::Auto));
        assert_eq!(read(json!(0)), Some(SpoolSize::Bytes(0)));
        assert_eq!(read(json!("2GiB")), Some(SpoolSize::Bytes(2 << 30)));
        assert_eq!(read(json!(null)), None);
    }
}
