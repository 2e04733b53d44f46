//! What the configuration can hold. Every default of the program is in this directory, and nowhere else: in the
//! `Default` of each section, next to the range of each value. One file a section.
//!
//! A section serializes as it is shown, with secrets masked; it cannot be written back from here.

mod backup;
mod docker;
mod drill;
mod hook;
mod kopia;
mod logging;
mod metrics;
mod notify;
mod retention;
mod unit;

pub use backup::{Backup, BindMounts, Spool};
pub use docker::Docker;
pub use drill::{Drill, Probe, UnitDrill};
pub use hook::{Hook, HookExec};
pub use kopia::Kopia;
pub use logging::Logging;
pub use metrics::Metrics;
pub use notify::Target;
pub use retention::Retention;
pub use unit::{BindMountsOverride, RetentionOverride, UnitConfig};

use std::path::PathBuf;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::base::memory::Memory;

/// The version that this program writes; any `3.x` is read alike.
pub const VERSION: &str = "3.0";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Config {
    /// Version of the format of this file.
    ///
    /// Example: `"3.0"`. Since: 0.1.
    pub version: String,
    /// The repository: where it is, how it is opened, how it is created.
    pub kopia: Kopia,
    /// How a run proceeds: what is read, how long it may take, where its reports go.
    pub backup: Backup,
    /// The Docker engine.
    pub docker: Docker,
    /// How many restore points of each unit are kept. A point stays if any of these keeps it; all numbers 0 keep everything.
    pub retention: Retention,
    /// Copies of units that are booted in isolation (`kopi-docka drill`).
    pub drill: Drill,
    /// The log file.
    pub logging: Logging,
    /// Files for monitoring.
    pub metrics: Metrics,
    /// What is done around a backup: a list. It is done in its order, and what comes after in the reverse one. Labels do the same for their own container:
    /// `kopi-docka.exec.before-stop` and `kopi-docka.exec.after-start`.
    pub hooks: Vec<Hook>,
    /// Who is told of runs and problems: a list. `kopi-docka notify --test` sends one message to each. A message that is not delivered is a warning. Only
    /// a `healthchecks` notices a host that is down.
    pub notify: Vec<Target>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: VERSION.to_owned(),
            kopia: Kopia::default(),
            backup: Backup::default(),
            docker: Docker::default(),
            retention: Retention::default(),
            drill: Drill::default(),
            logging: Logging::default(),
            metrics: Metrics::default(),
            hooks: Vec::new(),
            notify: Vec::new(),
        }
    }
}

impl Config {
    /// The directory that drills make theirs in.
    pub fn drills(&self) -> PathBuf {
        let named = self.drill.directory.clone();
        named.unwrap_or_else(|| self.backup.base_path.join("drills"))
    }

    /// How many sources are worked on at once, as it says or as a host with `memory` allows it.
    pub fn workers(&self, memory: Memory) -> usize {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        self.backup.parallel_workers.resolve(memory.total, cpus)
    }

    /// Every key that a file can hold, with some value: what is not in here is unknown. The units are left out,
    /// see [`UnitConfig::filled`].
    pub(super) fn keys() -> serde_json::Value {
        serde_json::to_value(Self::default()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let documented = json!({
            "version": "3.0",
            "kopia": {
                "kopia_params": "filesystem --path /backup/kopia-repository",
                "password": "CHANGE_ME_TO_A_SECURE_PASSWORD", "password_file": null,
                "profile": "kopi-docka", "host": null,
                "compression": "zstd", "encryption": "AES256-GCM-HMAC-SHA256", "hash": "BLAKE2B-256-128",
                "cache_directory": "/var/cache/kopi-docka", "cache_size_mb": 500
            },
            "backup": {
                "base_path": "/backup/kopi-docka", "parallel_workers": "auto",
                "stop_timeout": 30, "start_timeout": 60, "task_timeout": 0, "stall_timeout": 600, "retry_when_reachable": "6h",
                "update_recovery_bundle": false, "recovery_bundle_path": "/backup/recovery",
                "recovery_bundle_retention": 3, "recovery_bundle_copy": null,
                "exclude_patterns": [], "include_secrets": true, "build_context_max": "50MiB", "shared_volumes": "stop", "read": "changed", "read_pays": "1s", "clones": true, "shrink_limit": "50%", "max_downtime": null,
                "spool": { "size": "auto", "directory": "/var/cache/kopi-docka/spool" },
                "bind_mounts": { "mode": "all", "exclude": [], "include": [], "max_size": "50GiB" },
                "units": {}
            },
            "docker": { "socket": "/var/run/docker.sock", "compose_timeout": 300 },
            "retention": {
                "latest": 3, "hourly": 0, "daily": 7, "weekly": 4, "monthly": 12, "yearly": 5
            },
            "drill": { "directory": null, "every": null, "max_age": "90d", "timeout": "10m" },
            "logging": {
                "level": "INFO", "file": "/var/log/kopi-docka.log", "max_size_mb": 100, "backup_count": 5
            },
            "metrics": { "textfile": null }, "hooks": [], "notify": []
        });
        let shown = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(shown, documented);
        assert_eq!(
            serde_json::from_value::<Config>(shown).unwrap(),
            Config::default()
        );
        assert_eq!(
            serde_json::from_value::<Config>(json!({})).unwrap(),
            Config::default()
        );
    }
}
