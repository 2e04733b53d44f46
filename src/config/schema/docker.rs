//! The engine, and what is waited for when compose is asked.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::value::{absolute, seconds};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Docker {
    #[serde(deserialize_with = "absolute")]
    pub socket: PathBuf,
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
