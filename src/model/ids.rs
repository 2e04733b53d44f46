//! Names of things, made only by `parse` so that a wrong one cannot travel.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not {expected}")]
pub struct InvalidId {
    text: String,
    expected: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { text: text.to_owned(), expected: $expected })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }
    };
}

text_id!(
    /// A compose project's or a standalone container's name. Docker allows `[a-zA-Z0-9_.-]`; all that we need
    /// is that it is one path component without control characters.
    UnitName,
    "the name of a unit (not empty, no `/`, no control characters)",
    |text| !text.is_empty()
        && text != "."
        && text != ".."
        && text.len() <= 255
        && !text.contains('/')
        && !text.chars().any(char::is_control)
);

text_id!(
    /// The id of a snapshot manifest in Kopia: hex digits.
    SnapshotId,
    "a snapshot id (hex digits)",
    |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
);

text_id!(
    /// The id of an object in Kopia, such as `k1f…` (a directory) or `Ixf2…` (an indirect object).
    ObjectId,
    "an object id (letters and digits)",
    |text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric())
);

text_id!(
    /// What this program calls one machine: 32 hex digits, random.
    MachineId,
    "the id of a machine (32 hex digits in lower case)",
    |text| text.len() == 32
        && text
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);

/// One run, by its start in UTC to the second: `2025-01-31T23-59-59Z`. Sorts by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(DateTime<Utc>);

impl BackupId {
    const FORMAT: &'static str = "%Y-%m-%dT%H-%M-%SZ";

    /// The id of a run that starts at `time`; fractions of a second are dropped.
    pub fn at(time: DateTime<Utc>) -> Self {
        Self(DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time))
    }

    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        NaiveDateTime::parse_from_str(text, Self::FORMAT)
            .map(|time| Self(time.and_utc()))
            .map_err(|_| InvalidId {
                text: text.to_owned(),
                expected: "a backup id such as `2025-01-31T23-59-59Z`",
            })
    }

    /// A second later.
    pub fn next(self) -> Self {
        Self(self.0 + TimeDelta::seconds(1))
    }

    pub fn time(self) -> DateTime<Utc> {
        self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.format(Self::FORMAT).to_string())
    }
}

impl TryFrom<String> for BackupId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> String {
        id.to_string()
    }
}

text_id!(
    /// What another tool calls a run: a UUID in what the Python kopi-docka writes. It is shown and compared, never part of a path.
    ForeignId,
    "the id of a restore point (printable characters without spaces)",
    |text| !text.is_empty()
        && text.len() <= 255
        // What the command line means otherwise.
        && text != "latest"
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_graphic())
);

/// The id of a restore point, whichever tool made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PointId {
    /// In our form. Early versions of the Python tool had the same.
    Run(BackupId),
    Foreign(ForeignId),
}

impl PointId {
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        BackupId::parse(text)
            .map(Self::Run)
            .or_else(|_| ForeignId::parse(text).map(Self::Foreign))
    }
}

impl From<BackupId> for PointId {
    fn from(id: BackupId) -> Self {
        Self::Run(id)
    }
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(id) => id.fmt(f),
            Self::Foreign(id) => id.fmt(f),
        }
    }
}

impl TryFrom<String> for PointId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<PointId> for String {
    fn from(id: PointId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_id_survives_the_round_trip_and_nothing_else_parses() {
        let id = BackupId::parse("2025-01-31T23-59-59Z").unwrap();
        assert_eq!(id.to_string(), "2025-01-31T23-59-59Z");
        assert_eq!(id.time().to_rfc3339(), "2025-01-31T23:59:59+00:00");
        for wrong in [
            "",
            "latest",
            "2025-01-31T23:59:59Z",
            "2025-02-30T00-00-00Z",
            "2025-01-31T23-59-59Z\n",
        ] {
            assert!(BackupId::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_id_of_a_point_is_ours_or_any_other_word() {
        let ours = "2025-01-31T23-59-59Z";
        let run = BackupId::parse(ours).unwrap();
        assert_eq!(PointId::parse(ours).unwrap(), PointId::Run(run));
        for word in ["09b4417c-dac5-44a9-b5ef-b3981f2d6ba7", "20250131_235959"] {
            let id = PointId::parse(word).unwrap();
            assert!(matches!(id, PointId::Foreign(_)), "{id:?}");
            assert_eq!(serde_json::to_value(&id).unwrap(), word);
            assert_eq!(serde_json::from_value::<PointId>(word.into()).unwrap(), id);
        }
        for wrong in ["", "latest", "a b", "a\n", "-x", "\u{1b}[31m"] {
            assert!(PointId::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_unit_name_is_one_harmless_path_component() {
        assert!(UnitName::parse("my stack.1").is_ok());
        for wrong in ["", ".", "..", "a/b", "a\nb", "a\0b"] {
            assert!(UnitName::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
