//! How a run goes: what is read, how long it may take, where its results are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::unit::UnitConfig;
use crate::config::value::{
    BindMode, Exclude, Pattern, Percent, SharedVolumes, SpoolSize, Workers, absolute, exact_size,
    optional_seconds, optional_size, seconds, whole,
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backup {
    /// The folder of the run reports (`metadata/`).
    #[serde(deserialize_with = "absolute")]
    pub base_path: PathBuf,
    pub parallel_workers: Workers,
    /// What a container gets at least before it is killed.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, HOUR, _>"
    )]
    pub stop_timeout: Duration,
    /// How long a container may take to run, or to be healthy.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, HOUR, _>"
    )]
    pub start_timeout: Duration,
    /// For one source. `None` (0 in the file): as long as it takes.
    #[serde(
        serialize_with = "optional_seconds::serialize_zero",
        deserialize_with = "optional_seconds::deserialize_zero::<{ 30 * DAY }, _>"
    )]
    pub task_timeout: Option<Duration>,
    /// Without a sign of life of the program that works.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, DAY, _>"
    )]
    pub stall_timeout: Duration,
    pub update_recovery_bundle: bool,
    #[serde(deserialize_with = "absolute")]
    pub recovery_bundle_path: PathBuf,
    /// How many bundles are kept.
    #[serde(deserialize_with = "whole::<1, 1000, _, _>")]
    pub recovery_bundle_retention: usize,
    /// Of every unit; a unit's own come on top.
    pub exclude_patterns: Vec<Exclude>,
    /// Whether a point also keeps, encrypted, what is redacted in its dumps.
    pub include_secrets: bool,
    /// In bytes: what an image is built from is kept in the recipe up to it; a larger one is a gap.
    #[serde(with = "exact_size")]
    pub build_context_max: u64,
    pub shared_volumes: SharedVolumes,
    /// A source that is smaller by more than this than in the last whole point is warned of.
    pub shrink_limit: Percent,
    pub spool: Spool,
    pub bind_mounts: BindMounts,
    /// By the name of the unit. [`super::Config::unit`] puts them over the general settings.
    pub units: BTreeMap<String, UnitConfig>,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            base_path: "/backup/kopi-docka".into(),
            parallel_workers: Workers::Auto,
            stop_timeout: Duration::from_secs(30),
            start_timeout: Duration::from_secs(60),
            task_timeout: None,
            stall_timeout: Duration::from_secs(600),
            update_recovery_bundle: false,
            recovery_bundle_path: "/backup/recovery".into(),
            recovery_bundle_retention: 3,
            exclude_patterns: Vec::new(),
            include_secrets: true,
            build_context_max: 50 << 20,
            shared_volumes: SharedVolumes::Stop,
            shrink_limit: Percent::HALF,
            spool: Spool::default(),
            bind_mounts: BindMounts::default(),
            units: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spool {
    pub size: SpoolSize,
    #[serde(deserialize_with = "absolute")]
    pub directory: PathBuf,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            size: SpoolSize::Auto,
            directory: "/var/cache/kopi-docka/spool".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BindMounts {
    pub mode: BindMode,
    /// Of paths on this host.
    pub exclude: Vec<Pattern>,
    pub include: Vec<Pattern>,
    /// In bytes; a larger one is a gap. `None`: no limit.
    #[serde(with = "optional_size")]
    pub max_size: Option<u64>,
}

impl Default for BindMounts {
    fn default() -> Self {
        Self {
            mode: BindMode::All,
            exclude: Vec::new(),
            include: Vec::new(),
            max_size: Some(50 << 30),
        }
    }
}
