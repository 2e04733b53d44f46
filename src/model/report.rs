//! What a run did: written to `<backup.base_path>/metadata/<backup_id>.json`.
//!
//! Times are RFC 3339 in UTC, durations are seconds, sizes are bytes. Fields are only ever added.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::grade::Grade;
use super::ids::{BackupId, PointId, UnitName};
use super::point::PartKind;
use super::source::{Gap, SourceKey};
use super::unit::UnitKind;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    pub format: u32,
    pub kopi_docka_version: String,
    pub backup_id: BackupId,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    /// What the program exited with.
    pub exit_code: u8,
    pub units: Vec<UnitReport>,
    /// Spent in looking at what is on the host, all looks together.
    #[serde(default)]
    pub discovery_seconds: f64,
    /// The most that the spools held at once.
    #[serde(default)]
    pub spool_peak_bytes: u64,
    /// `None` when the run did not come to it.
    #[serde(default)]
    pub retention: Option<RetentionReport>,
    /// `None` when none was due, or another host owns it.
    #[serde(default)]
    pub maintenance: Option<MaintenanceReport>,
    /// Of the run as a whole.
    #[serde(default)]
    pub hooks: Vec<HookReport>,
    /// `None` when the run makes none.
    #[serde(default)]
    pub recovery_bundle: Option<BundleReport>,
    /// About the run as a whole: what it could not tidy up.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Set when the run ended before every unit was tried.
    pub interrupted: Option<String>,
}

/// Which restore points went, or would go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RetentionReport {
    pub units: Vec<UnitRetention>,
    /// How many snapshots the removed points had that no other point needs.
    pub snapshots: usize,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnitRetention {
    pub unit: UnitName,
    /// `None` where no point tells it.
    #[serde(default)]
    pub kind: Option<UnitKind>,
    /// How many points are left, those that are not whole too.
    pub kept: usize,
    /// No rule is above 0.
    pub keeps_everything: bool,
    pub removed: Vec<RemovedPoint>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RemovedPoint {
    pub backup_id: PointId,
    /// `whole`, `partial` or `unfinished`.
    pub state: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MaintenanceReport {
    /// `quick` or `full`.
    pub mode: String,
    pub seconds: f64,
}

/// What became of the recovery bundle.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BundleReport {
    /// `None` where it failed.
    pub path: Option<PathBuf>,
    pub bytes: u64,
    /// `None` where none is wanted, or none could be written.
    pub copy: Option<PathBuf>,
    /// Why there is no copy.
    pub warnings: Vec<String>,
    /// Why there is none, or what it lacks.
    pub errors: Vec<String>,
    pub hints: Vec<String>,
}

impl RetentionReport {
    pub fn removed(&self) -> usize {
        self.units.iter().map(|unit| unit.removed.len()).sum()
    }
}

/// As in [`SourceReport`].
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct UnitBytes {
    pub bytes: u64,
    pub window_bytes: u64,
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub kept_bytes: u64,
}

/// What became of a hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HookReport {
    /// As in the configuration.
    pub when: String,
    /// The command, and the container that it was in.
    pub what: String,
    pub seconds: f64,
    /// Why it failed, whatever that meant for the run.
    pub error: Option<String>,
    /// The end of what it said, without secrets.
    pub said: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnitReport {
    pub unit: UnitName,
    pub outcome: Outcome,
    /// `None` when nothing was saved.
    pub grade: Option<Grade>,
    /// From just before the first stop was asked until the last start was done; 0 when nothing was stopped.
    pub downtime_seconds: f64,
    /// What was expected of that before the stop; `None` when it did not come to it, or nothing was to be stopped.
    #[serde(default)]
    pub expected_downtime_seconds: Option<f64>,
    /// Each step with its times, in order. `downtime_seconds` is made of those with `in_window`.
    pub steps: Vec<StepTime>,
    pub sources: Vec<SourceReport>,
    #[serde(default)]
    pub hooks: Vec<HookReport>,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
    /// The error chain, outermost first; empty when the outcome is `saved`.
    pub errors: Vec<String>,
    /// Those of `errors` that say what was not saved, with the cause, one line each; empty when the operator agreed to all of it.
    #[serde(default)]
    pub losses: Vec<String>,
    /// What the operator can do about the errors.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Names of containers that we stopped and that are not up again.
    pub still_stopped: Vec<String>,
}

impl UnitReport {
    /// The sum over its sources.
    pub fn sum(&self, bytes: impl Fn(&SourceReport) -> u64) -> u64 {
        self.sources.iter().map(bytes).sum()
    }

    /// Of all its sources.
    pub fn bytes(&self) -> UnitBytes {
        UnitBytes {
            bytes: self.sum(|source| source.bytes),
            window_bytes: self.sum(|source| source.window_bytes),
            before_bytes: self.sum(|source| source.before_bytes),
            after_bytes: self.sum(|source| source.after_bytes),
            kept_bytes: self.sum(|source| source.kept_bytes),
        }
    }

    /// A whole point, everything up and healthy, and nothing wrote while it was read without the operator's leave.
    pub fn is_good(&self) -> bool {
        self.outcome == Outcome::Saved && self.errors.is_empty()
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAs {
    /// What is proven to be unchanged was not read while services were down.
    Changed,
    /// All of it was.
    #[default]
    Plain,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartReport {
    pub kind: PartKind,
    pub bytes: u64,
    /// Of the point whose run stored it.
    pub backup_id: PointId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A whole restore point.
    Saved,
    /// A restore point that lacks something; `errors` says what.
    SavedWithLoss,
    Failed,
    /// Not tried: after a signal, or since it would have been down for longer than it may be; `errors` has that.
    Skipped,
}

impl Outcome {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::SavedWithLoss => "saved in part",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
        }
    }

    /// For programs, as it is in the report.
    pub fn key(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::SavedWithLoss => "saved_with_loss",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    pub step: String,
    pub in_window: bool,
    pub started_at: DateTime<Utc>,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceReport {
    #[serde(flatten)]
    pub key: SourceKey,
    pub grade: Option<Grade>,
    pub reasons: Vec<String>,
    /// Length of the streams that it is made of.
    pub bytes: u64,
    /// Of what was read while services were down.
    #[serde(default)]
    pub window_bytes: u64,
    /// Of what was read before.
    #[serde(default)]
    pub before_bytes: u64,
    /// Of what was cloned while services were down, and read when they ran again.
    #[serde(default)]
    pub after_bytes: u64,
    /// Of the files that were not read in the window, since they are proven to be as an earlier part has them; without their holes.
    #[serde(default)]
    pub kept_bytes: u64,
    /// What it is made of in the repository.
    #[serde(default)]
    pub parts: Vec<PartReport>,
    #[serde(default)]
    pub read: ReadAs,
    /// Why it was read whole, or so much of it.
    #[serde(default)]
    pub read_why: Vec<String>,
    /// How long `tar` read, within the window.
    pub read_seconds: f64,
    pub error: Option<String>,
}
