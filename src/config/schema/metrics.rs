//! What a monitor reads.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::value::optional_absolute;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// For the textfile collector of Prometheus' node exporter. `None`: no such file.
    #[serde(deserialize_with = "optional_absolute")]
    pub textfile: Option<PathBuf>,
}
