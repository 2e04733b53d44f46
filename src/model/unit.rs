//! What is stopped, saved and restored together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ids::UnitName;
use super::source::{Gap, Source};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitKind {
    /// A compose project.
    Stack,
    /// One container without compose labels.
    Standalone,
}

impl UnitKind {
    /// As in reports and tags.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Standalone => "standalone",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stack, Self::Standalone]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unit {
    pub name: UnitName,
    pub kind: UnitKind,
    /// Every member, running or not, ordered by name.
    pub containers: Vec<Container>,
    /// Container ids by dependency level: members of level 0 depend on nothing, those of level n on some of
    /// level n-1. Started in this order, stopped in the reverse one.
    pub levels: Vec<Vec<String>>,
    /// What is read, ordered by key.
    pub sources: Vec<Source>,
    /// Names of the networks that the containers are on, the engine's own (`bridge`, `host`, `none`) left out.
    pub networks: Vec<String>,
    /// Where the compose files are, as this process can open them. `None` for a standalone container.
    pub compose: Option<ComposeProject>,
    /// What a backup of this unit would not save, and why.
    pub gaps: Vec<Gap>,
    /// Set when the unit must not be stopped at all (Swarm task, pod of a kubelet): the reason.
    pub not_coverable: Option<String>,
    /// Set when a backup would fail for certain, so that nothing is stopped for it: data that this process cannot see.
    pub blocker: Option<String>,
    /// False when a label or the configuration says that the unit is not to be backed up.
    pub enabled: bool,
    /// Things the operator should know, such as a dependency cycle.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComposeProject {
    /// The project's working directory, if this process sees it.
    pub working_dir: Option<PathBuf>,
    /// The compose files in override order, as paths on this host.
    pub files: Vec<PathBuf>,
    /// Files that the labels name but that could not be found: as the label has them.
    pub missing: Vec<String>,
    /// `--env-file` files that the labels name (`com.docker.compose.project.environment_file`), as paths on this host.
    pub env_files: Vec<PathBuf>,
    /// Every set of files that containers of it were made from, the newest container's first: all above is that one's.
    /// Several when it was moved, when some containers were made with an override, or when two projects have one name.
    pub groups: Vec<ComposeGroup>,
}

/// What one `docker compose up` was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComposeGroup {
    /// As the labels have it: where compose ran it may have been another path than here.
    pub named_dir: Option<PathBuf>,
    /// The same on this host, if it is there.
    pub working_dir: Option<PathBuf>,
    pub files: Vec<PathBuf>,
    /// As the labels have them.
    pub missing: Vec<String>,
    pub env_files: Vec<PathBuf>,
    /// Services whose containers were made from them, ordered.
    pub services: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Container {
    /// The full id, 64 hex digits.
    pub id: String,
    /// Without the leading slash.
    pub name: String,
    pub image: String,
    pub image_id: String,
    pub state: ContainerState,
    pub project: Option<String>,
    pub service: Option<String>,
    /// The replica number of a compose service, from 1.
    pub number: Option<u32>,
    /// `--rm`: a stop would delete it.
    pub auto_remove: bool,
    /// The container's own stop timeout in seconds; -1 waits without end.
    pub stop_timeout_seconds: Option<i64>,
    pub has_healthcheck: bool,
    pub dependencies: Vec<Dependency>,
    pub mounts: Vec<Mount>,
    /// `postgresql`, `mariadb`, … guessed from the image's name; informative only.
    pub database: Option<&'static str>,
    pub labels: BTreeMap<String, String>,
    /// `State.StartedAt` as Docker gives it (RFC 3339, nanoseconds).
    pub started_at: String,
    #[serde(skip)]
    pub standing: Standing,
}

/// What decides whether a container can be stopped, and with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its health check said so when it was looked at.
    pub is_unhealthy: bool,
    /// Ids of containers whose namespaces it lives in: when they go it has no network, whatever unit they are of.
    pub lives_in: Vec<String>,
    /// Why Docker could not start it again, were it stopped.
    pub obstacles: Vec<Obstacle>,
    /// Every disk of the host is in its reach.
    pub is_privileged: bool,
    /// Set for one that must go on whatever is backed up.
    pub role: Option<Role>,
}

/// One thing in the way of a container's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub sentence: String,
    /// The path of the host that is not as it must be, if it is one.
    pub at: Option<PathBuf>,
}

/// A container that backups themselves need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This program runs in it.
    Own,
    /// It serves the repository.
    Repository,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl ContainerState {
    /// Whether its processes can run, now or without anybody's doing.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Restarting)
    }
}

/// One container needs another one of its unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Id of the container that is needed.
    pub on: String,
    pub condition: Condition,
}

/// What state of the other container a start waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::enum_variant_names)] // compose's own words
pub enum Condition {
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// One mount of one container, as `docker inspect` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    pub kind: MountKind,
    /// Volume name for a volume, else empty.
    pub name: String,
    /// Path on the host that the data is at, as Docker gives it. Empty for a tmpfs.
    pub source: PathBuf,
    pub destination: String,
    pub read_write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    Volume,
    Bind,
    Tmpfs,
    Other,
}
