//! What a monitor reads.

use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::config::value::optional_absolute;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Metrics {
    /// File for the textfile collector of Prometheus' node exporter, written after every run. Its directory must exist. `null`: no file.
    ///
    /// Example: `"/var/lib/prometheus/node-exporter/kopi-docka.prom"`. Since: 0.1.
    #[serde(deserialize_with = "optional_absolute")]
    pub textfile: Option<PathBuf>,
}
