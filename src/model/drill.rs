//! What a drill came to: remembered in the state directory, and written to `<backup.base_path>/metadata/drill-<id>.json`.
//!
//! Times are RFC 3339 in UTC, durations are seconds, sizes are bytes. Fields are only ever added.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::ids::{MachineId, PointId, UnitName};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillOutcome {
    /// All that ran when the point was made runs, is healthy, and answers its probes.
    Good,
    /// The same of what could be booted in isolation; something was left out.
    Partial,
    NotGood,
}

impl fmt::Display for DrillOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Partial => "partial",
            Self::NotGood => "not good",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Its value of the label `kopi-docka.drill`.
    pub id: String,
    /// The compose project that it made.
    pub project: String,
    pub unit: UnitName,
    pub backup_id: PointId,
    /// When the point was made, by whom, and in which repository it is.
    pub point_time: DateTime<Utc>,
    pub identity: Identity,
    #[serde(default)]
    pub machine: Option<MachineId>,
    pub repository: String,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub outcome: DrillOutcome,
    /// What the program exited with.
    pub exit_code: u8,
    /// Of data that came back.
    pub bytes: u64,
    /// From the first byte of data to the last.
    pub restore_seconds: Option<f64>,
    /// From then until everything was started.
    pub start_seconds: Option<f64>,
    /// From then until everything was healthy and all probes were answered.
    pub healthy_seconds: Option<f64>,
    /// All of that: the time to recover. `None` unless the drill was good or partial.
    pub recovery_seconds: Option<f64>,
    pub services: Vec<DrilledService>,
    pub probes: Vec<DrilledProbe>,
    /// Services that were not booted, since they cannot be in isolation.
    pub left_out: Vec<LeftOutService>,
    /// What the copy did not have of the original.
    pub dropped: Vec<Dropped>,
    pub warnings: Vec<String>,
    /// Why it is not good, one sentence each.
    pub errors: Vec<String>,
    /// It was left running, until `drill --remove`.
    pub is_kept: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrilledService {
    pub name: String,
    pub state: ServiceState,
    /// How often it ended and was started again, as its restart policy would have had it.
    pub restarts: u32,
    /// From its start until it was ready.
    pub seconds: Option<f64>,
    /// The last lines of its log, secrets masked; of one that failed.
    #[serde(default)]
    pub log: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    Healthy,
    /// It has no health check, and ran for a while without an end.
    Running,
    /// It had its work done when the point was made, and did it again.
    Done,
    Failed,
    /// The time was over, or another one had failed.
    NotReady,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrilledProbe {
    pub service: String,
    pub exec: Vec<String>,
    pub is_good: bool,
    pub tries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOutService {
    pub service: String,
    /// In a sentence without a final full stop.
    pub reason: String,
}

/// Something of the original that the copy does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dropped {
    /// `None` for what is of the whole project.
    pub service: Option<String>,
    /// Such as `ports 8080:80`, `the network of the host`.
    pub what: String,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.service {
            Some(service) => write!(f, "`{service}`: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}
