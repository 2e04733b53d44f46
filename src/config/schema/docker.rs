//! The engine, and what is waited for when compose is asked.

use std::path::PathBuf;
use std::time::Duration;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::config::value::{absolute, seconds};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Docker {
    /// Socket of the Docker engine.
    ///
    /// Example: `"/run/user/1000/docker.sock"`. Since: the Python version.
    #[serde(deserialize_with = "absolute")]
    pub socket: PathBuf,
    /// Time limit for `docker compose up`. Pulling images has no limit of its own, only `backup.stall_timeout`.
    ///
    /// Example: `900`. Since: the Python version.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, 86_400, _>"
    )]
    pub compose_timeout: Duration,
}

impl Default for Docker {
    fn default() -> Self {
        Self {
            socket: "/var/run/docker.sock".into(),
            compose_timeout: Duration::from_secs(300),
        }
    }
}
