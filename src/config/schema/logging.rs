//! The log file.

use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::config::value::{LogLevel, level, optional_absolute, whole};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Logging {
    /// Level of the log file: `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`. `--log-level` takes precedence.
    ///
    /// Example: `"DEBUG"`. Since: the Python version.
    #[serde(with = "level")]
    pub level: LogLevel,
    /// Log file. `null`: none.
    ///
    /// Example: `"/srv/log/kopi-docka.log"`. Since: the Python version.
    #[serde(deserialize_with = "optional_absolute")]
    pub file: Option<PathBuf>,
    /// Size at which the log file is rotated, in MB.
    ///
    /// Example: `20`. Since: the Python version.
    #[serde(deserialize_with = "whole::<1, 100_000, _, _>")]
    pub max_size_mb: u64,
    /// Number of rotated log files to keep.
    ///
    /// Example: `10`. Since: the Python version.
    #[serde(deserialize_with = "whole::<0, 1000, _, _>")]
    pub backup_count: usize,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            file: Some("/var/log/kopi-docka.log".into()),
            max_size_mb: 100,
            backup_count: 5,
        }
    }
}
