//! How a run goes: what is read, how long it may take, where its results are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::unit::UnitConfig;
use crate::config::value::{
    BindMode, Exclude, Pattern, Percent, ReadMode, SharedVolumes, SpoolSize, Workers, absolute,
    exact_size, optional_absolute, optional_duration, optional_seconds, optional_size, seconds,
    whole,
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Backup {
    /// Directory of the run reports (`metadata/`).
    ///
    /// Example: `"/srv/backup/kopi-docka"`. Since: the Python version.
    #[serde(deserialize_with = "absolute")]
    pub base_path: PathBuf,
    /// Number of sources that are read and stored at once. `"auto"` follows the memory and the processors of this host.
    ///
    /// Example: `4`. Since: the Python version.
    pub parallel_workers: Workers,
    /// Time that a container gets to stop before it is killed. A longer `stop_grace_period` of its own is kept.
    ///
    /// Example: `60`. Since: the Python version.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, HOUR, _>"
    )]
    pub stop_timeout: Duration,
    /// Time that a container gets to start, or to be healthy.
    ///
    /// Example: `120`. Since: the Python version.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, HOUR, _>"
    )]
    pub start_timeout: Duration,
    /// Time limit for reading and storing one source. 0: no limit.
    ///
    /// Example: `14400`. Since: the Python version.
    #[serde(
        serialize_with = "optional_seconds::serialize_zero",
        deserialize_with = "optional_seconds::deserialize_zero::<{ 30 * DAY }, _>"
    )]
    pub task_timeout: Option<Duration>,
    /// Time without any progress after which `tar`, `kopia` or a disk is given up. It limits silence, not the total time.
    ///
    /// Example: `1800`. Since: 0.1.
    #[serde(
        serialize_with = "seconds::serialize",
        deserialize_with = "seconds::deserialize::<1, DAY, _>"
    )]
    pub stall_timeout: Duration,
    /// How long a backup that could not reach the repository waits for it: every five minutes the retry timer, or the daemon, looks whether
    /// it answers, and then makes the backup, unless the next regular one comes first. 0 or `null`: it is not tried again.
    ///
    /// Example: `"12h"`. Since: 0.1.
    #[serde(
        serialize_with = "optional_duration::serialize",
        deserialize_with = "optional_duration::deserialize::<{ 30 * DAY }, _>"
    )]
    pub retry_when_reachable: Option<Duration>,
    /// Write a recovery bundle after each run that stored a restore point. Make the first one with `kopi-docka disaster-recovery`.
    ///
    /// Example: `true`. Since: the Python version.
    pub update_recovery_bundle: bool,
    /// Directory of the recovery bundles.
    ///
    /// Example: `"/mnt/usb/recovery"`. Since: the Python version.
    #[serde(deserialize_with = "absolute")]
    pub recovery_bundle_path: PathBuf,
    /// Number of recovery bundles to keep.
    ///
    /// Example: `5`. Since: the Python version.
    #[serde(deserialize_with = "whole::<1, 1000, _, _>")]
    pub recovery_bundle_retention: usize,
    /// Another directory that each recovery bundle is copied to, on another file system, such as a stick or a NAS. It must be mounted: if it
    /// is not, that is a warning. `null`: no copy.
    ///
    /// Example: `"/mnt/nas/recovery"`. Since: 0.1.
    #[serde(deserialize_with = "optional_absolute")]
    pub recovery_bundle_copy: Option<PathBuf>,
    /// Files and directories that are not read, in every unit. Patterns of a unit are added.
    ///
    /// Example: `["*.log", "cache/"]`. Since: the Python version.
    pub exclude_patterns: Vec<Exclude>,
    /// Keep the values of secret environment variables in the recipe, encrypted like all data. Without them a container may have to be created again by hand.
    ///
    /// Example: `false`. Since: 0.1.
    pub include_secrets: bool,
    /// Maximum size of a build context that is saved with the recipe. A larger one is a loss, and only its Dockerfile is saved. 0: none.
    ///
    /// Example: `"200MiB"`. Since: 0.1.
    #[serde(with = "exact_size")]
    pub build_context_max: u64,
    /// What happens to running containers of other units that can write to the data of a unit: `stop` stops them for its window, `warn` leaves them running and grades the source `hot`.
    ///
    /// Example: `"warn"`. Since: 0.1.
    pub shared_volumes: SharedVolumes,
    /// `changed` reads what changed since the last restore point, most of it before services stop, where the file system can prove the rest to be
    /// unchanged (ext4, XFS, btrfs). `everything` reads all files each time while services are down.
    ///
    /// Example: `"everything"`. Since: 0.1.
    pub read: ReadMode,
    /// A source that is expected to be read completely in less time is read completely, whatever `backup.read` says. 0: none is for that reason.
    ///
    /// Example: `"5s"`. Since: 0.1.
    #[serde(
        serialize_with = "optional_duration::serialize",
        deserialize_with = "optional_duration::deserialize::<{ DAY }, _>"
    )]
    pub read_pays: Option<Duration>,
    /// Large files that would be read for more than five seconds while services are down are cloned then, and read when they run again, on
    /// XFS. `false`: they are read while services are down. A file that services write to lies in more pieces afterwards.
    ///
    /// Example: `false`. Since: 0.1.
    pub clones: bool,
    /// A source that is smaller than in the last whole restore point by more than this is reported as a doubt.
    ///
    /// Example: `"80%"`. Since: 0.1.
    pub shrink_limit: Percent,
    /// A unit that is expected to be down for longer is left up: it is not saved, and the run ends with exit code 3. 0 or `null`: no limit.
    ///
    /// Example: `"5m"`. Since: 0.1.
    #[serde(
        serialize_with = "optional_duration::serialize",
        deserialize_with = "optional_duration::deserialize::<{ 30 * DAY }, _>"
    )]
    pub max_downtime: Option<Duration>,
    /// Buffer between reading and storing.
    pub spool: Spool,
    /// Which bind mounts are saved.
    pub bind_mounts: BindMounts,
    /// Settings for single units, by name. They override the general ones.
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
            retry_when_reachable: Some(Duration::from_secs(6 * HOUR)),
            update_recovery_bundle: false,
            recovery_bundle_path: "/backup/recovery".into(),
            recovery_bundle_retention: 3,
            recovery_bundle_copy: None,
            exclude_patterns: Vec::new(),
            include_secrets: true,
            build_context_max: 50 << 20,
            shared_volumes: SharedVolumes::Stop,
            read: ReadMode::Changed,
            read_pays: Some(Duration::from_secs(1)),
            clones: true,
            shrink_limit: Percent::HALF,
            max_downtime: None,
            spool: Spool::default(),
            bind_mounts: BindMounts::default(),
            units: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct Spool {
    /// Maximum size of the spool. `"auto"`: half of the available memory for a repository on a local disk, else the free space of its disk less 10 %. 0: no spool; services are down until the data is stored.
    ///
    /// Example: `"20GiB"`. Since: 0.1.
    pub size: SpoolSize,
    /// Directory of the spool, on a writable disk.
    ///
    /// Example: `"/mnt/fast/spool"`. Since: 0.1.
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, DocumentedFields)]
#[serde(default)]
pub struct BindMounts {
    /// `all` saves every bind mount that is not excluded, `include` only those that `include` names, `none` no bind mount.
    ///
    /// Example: `"include"`. Since: 0.1.
    pub mode: BindMode,
    /// Paths on the host that are not saved: glob patterns.
    ///
    /// Example: `["/mnt/media/**"]`. Since: 0.1.
    pub exclude: Vec<Pattern>,
    /// Paths on the host that are saved even if they are above `max_size` or a system directory: glob patterns.
    ///
    /// Example: `["/srv/photos"]`. Since: 0.1.
    pub include: Vec<Pattern>,
    /// Maximum size of a bind mount. A larger one is not saved, which is a loss. `null`: no limit.
    ///
    /// Example: `"200GiB"`. Since: 0.1.
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
