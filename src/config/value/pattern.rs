//! Glob patterns: `*.log`, `cache/**`.

use std::fmt;

use globset::Glob;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A glob that was checked. Kept as text: the caller decides what it is matched against.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// `None` when `text` is not a glob, is empty, or holds a character that no file name and no list can.
    pub fn parse(text: &str) -> Option<Self> {
        let valid =
            !text.trim().is_empty() && !text.contains(['\0', '\n']) && Glob::new(text).is_ok();
        valid.then(|| Self(text.to_owned()))
    }
}

impl AsRef<str> for Pattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom("expected a glob pattern such as `*.log`"))
    }
}
