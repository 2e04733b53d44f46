//! How much is logged, with the words of the command line in any case.

use clap::ValueEnum;
use serde::{Deserializer, Serializer};

use super::read;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    #[value(alias = "warning")]
    Warn,
    Info,
    Debug,
    Trace,
}

pub fn serialize<S: Serializer>(level: &LogLevel, serializer: S) -> Result<S::Ok, S::Error> {
    match level.to_possible_value() {
        Some(value) => serializer.serialize_str(&value.get_name().to_ascii_uppercase()),
        None => serializer.serialize_none(),
    }
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogLevel, D::Error> {
    let expected = "\"ERROR\", \"WARN\", \"INFO\", \"DEBUG\" or \"TRACE\"";
    read(deserializer, expected, |value| {
        LogLevel::from_str(value.as_str()?, true).ok()
    })
}
