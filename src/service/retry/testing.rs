//! For the tests of the folder.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use crate::base::paths::Paths;

/// So many seconds after 2025-01-31 02:00 UTC.
pub fn at(seconds: i64) -> DateTime<Utc> {
    let night: DateTime<Utc> = "2025-01-31T02:00:00Z".parse().unwrap();
    night + TimeDelta::seconds(seconds)
}

/// Of a host that is gone with the first of both.
pub fn paths() -> (TempDir, Paths) {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths {
        state: folder.path().join("state"),
        runtime: folder.path().join("run"),
        home: folder.path().to_owned(),
        credentials: PathBuf::new(),
        recovery_password: PathBuf::new(),
        marks_of_machine: Vec::new(),
    };
    (folder, paths)
}
