//! The log file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::value::{LogLevel, level, optional_absolute, whole};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Logging {
    #[serde(with = "level")]
    pub level: LogLevel,
    /// `None`: no log file.
    #[serde(deserialize_with = "optional_absolute")]
    pub file: Option<PathBuf>,
    /// The size at which a new file is begun.
    #[serde(deserialize_with = "whole::<1, 100_000, _, _>")]
    pub max_size_mb: u64,
    /// How many old files are kept.
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
