//! The kinds of values that a configuration holds, each with its text in JSON and what is valid: one file a kind.
//!
//! A value that is not valid fails with `expected …`; [`super::parse`] adds where it is and what was found, so
//! that no error here ever repeats what it read: it could be a secret.

mod address;
mod choice;
mod duration;
mod exclude;
mod host;
pub mod level;
mod number;
mod path;
mod pattern;
mod percent;
mod size;
mod word;
mod workers;

pub use address::{Address, optional_address};
pub use choice::{
    BindMode, HookFailure, HookWhen, MailTls, MessageType, MessageWhen, ReadMode, SharedVolumes,
};
pub use duration::{optional_duration, parse_duration, required_duration};
pub use exclude::Exclude;
pub use host::optional_host;
pub use level::LogLevel;
pub use number::{optional_seconds, seconds, whole};
pub use path::{absolute, expand_home, optional_absolute, optional_any, starts_at_root};
pub use pattern::Pattern;
pub use percent::Percent;
pub use size::{SpoolSize, exact_size, optional_size};
pub use word::word;
pub use workers::Workers;

use serde::de::{Deserializer, Error as _};
use serde_json::Value;

/// Reads any JSON value and lets `parse` make something of it.
fn read<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &str,
    parse: impl FnOnce(&Value) -> Option<T>,
) -> Result<T, D::Error> {
    let value: Value = serde::Deserialize::deserialize(deserializer)?;
    parse(&value).ok_or_else(|| D::Error::custom(format!("expected {expected}")))
}

/// As [`read`], with `null` as an answer of its own.
fn read_or_null<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &str,
    parse: impl FnOnce(&Value) -> Option<T>,
) -> Result<Option<T>, D::Error> {
    read(deserializer, expected, |value| {
        if value.is_null() {
            Some(None)
        } else {
            parse(value).map(Some)
        }
    })
}
