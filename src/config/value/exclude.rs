//! Patterns of what is not read within a source: `*.log`, `cache/`.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::exclude;

/// A pattern that tar and the measuring understand alike. Kept as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Exclude(String);

impl Exclude {
    pub fn parse(text: &str) -> Result<Self, exclude::Wrong> {
        exclude::check(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Display for Exclude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Exclude {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|wrong| {
            D::Error::custom(format!("expected a glob pattern such as `*.log`; {wrong}"))
        })
    }
}
