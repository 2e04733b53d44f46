//! Copies of units that are booted to see whether they come back.

use std::path::PathBuf;
use std::time::Duration;

use documented::DocumentedFields;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::value::{optional_absolute, optional_duration, required_duration};

const DAY: u64 = 86_400;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Drill {
    /// Directory in which the bind mounts and files of a copy lie while it runs. Its volumes are Docker's. `null`: `drills` in `backup.base_path`.
    ///
    /// Example: `"/srv/drills"`. Since: 0.1.
    #[serde(deserialize_with = "optional_absolute")]
    pub directory: Option<PathBuf>,
    /// How often the drill timer, or a daemon without systemd, tries a unit: that whose last drill is oldest. 0 or `null`: never by itself.
    ///
    /// Example: `"1w"`. Since: 0.1.
    #[serde(
        serialize_with = "optional_duration::serialize",
        deserialize_with = "optional_duration::deserialize::<{ 3660 * DAY }, _>"
    )]
    pub every: Option<Duration>,
    /// `check` warns of a unit whose last good drill is older than this. 0 or `null`: it does not.
    ///
    /// Example: `"30d"`. Since: 0.1.
    #[serde(
        serialize_with = "optional_duration::serialize",
        deserialize_with = "optional_duration::deserialize::<{ 3660 * DAY }, _>"
    )]
    pub max_age: Option<Duration>,
    /// Time that a copy gets from its start until it is healthy and its probes are answered.
    ///
    /// Example: `"30m"`. Since: 0.1.
    #[serde(
        serialize_with = "required_duration::serialize",
        deserialize_with = "required_duration::deserialize::<{ 7 * DAY }, _>"
    )]
    pub timeout: Duration,
}

impl Default for Drill {
    fn default() -> Self {
        Self {
            directory: None,
            every: None,
            max_age: Some(Duration::from_secs(90 * DAY)),
            timeout: Duration::from_secs(600),
        }
    }
}

/// What a unit says of its drills.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct UnitDrill {
    /// Commands that are run in the copy once it is healthy, each until it exits with 0: `service` (which one; not needed for a unit of one
    /// container), `exec` (the command as a list), `user`, `timeout` (default `"30s"`).
    ///
    /// Example: `[{"service": "db", "exec": ["pg_isready"], "timeout": "1m"}]`. Since: 0.1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

/// A command in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// `None`: the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(deserialize_with = "command")]
    pub exec: Vec<String>,
    /// `None`: as the container runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Until it exits with 0.
    #[serde(
        default = "patience",
        serialize_with = "required_duration::serialize",
        deserialize_with = "required_duration::deserialize::<{ DAY }, _>"
    )]
    pub timeout: Duration,
}

fn patience() -> Duration {
    Duration::from_secs(30)
}

fn command<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words: Vec<String> = Deserialize::deserialize(deserializer)?;
    if words.first().is_none_or(String::is_empty) {
        return Err(D::Error::custom(
            "expected a list of a program and its arguments",
        ));
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_probe_is_a_list_of_words_and_nothing_else() {
        let probe = |value| serde_json::from_value::<Probe>(value);
        let good = probe(json!({"service": "db", "exec": ["pg_isready", "-q"]})).unwrap();
        assert_eq!((good.user, good.timeout), (None, Duration::from_secs(30)));
        let timed = probe(json!({"exec": ["true"], "user": null, "timeout": "2m"})).unwrap();
        assert_eq!(timed.timeout, Duration::from_secs(120));
        for wrong in [
            json!({"service": "db"}),
            json!({"exec": "pg_isready"}),
            json!({"exec": []}),
            json!({"exec": [1]}),
            json!({"exec": ["a"], "timeout": 0}),
            json!({"exec": ["a"], "timeout": "soon"}),
            json!({"exec": ["a"], "command": ["b"]}),
        ] {
            assert!(probe(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
