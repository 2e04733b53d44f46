//! One thing to read, and what is not read.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a source is, stable over runs and hosts: it names the virtual source in Kopia and the row in the recipe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum SourceKey {
    Volume {
        name: String,
    },
    Bind {
        /// The path on the host, absolute.
        path: PathBuf,
    },
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume { name } => write!(f, "volume `{name}`"),
            Self::Bind { path } => write!(f, "bind mount `{}`", path.display()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source {
    pub key: SourceKey,
    /// Where the data is read: the volume's mountpoint, its device path for `type=none,o=bind`, or the bind's path;
    /// links resolved.
    pub path: PathBuf,
    /// A bind of a single file instead of a directory.
    pub is_file: bool,
    /// Where the containers of the unit see it, `/data` or several of them.
    pub destinations: Vec<String>,
    /// Patterns that go to `tar --exclude`.
    pub exclude_patterns: Vec<String>,
    /// A volume made by Docker without a name (64 hex digits).
    pub is_anonymous: bool,
    /// Ids of every container on the host, of this unit or another, that has it (or a directory above or below)
    /// mounted for writing.
    pub writers: Vec<String>,
    /// Binds of the unit that lie inside this one and so need no reading of their own. Were this source left
    /// out, they would be sources themselves.
    pub covers: Vec<Source>,
    /// Volumes of the unit that lie inside this one and are read with it, and where. They are read by themselves too: a volume is found by its
    /// name.
    #[serde(skip)]
    pub also_reads: Vec<(SourceKey, PathBuf)>,
    /// Configuration or label names it to be saved.
    #[serde(skip)]
    pub is_included: bool,
}

/// Something that a backup would not save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// What, as the operator knows it: ``volume `media` ``, ``bind mount `/mnt/media` ``.
    pub what: String,
    pub reason: GapReason,
    /// The reason in a sentence without a final full stop.
    pub detail: String,
    /// True when it is data that an operator would expect to be saved; false for what is not missed (a socket, `/proc`, a tmpfs), and
    /// for what the operator agreed to.
    pub is_loss: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// tmpfs, socket, device, pseudo file system: nothing to keep.
    Ephemeral,
    /// A tree that belongs to the operating system.
    OperatingSystem,
    /// It contains the repository, its cache or our own state.
    OwnState,
    /// Label or configuration says so.
    ExcludedByOperator,
    TooLarge,
    /// The data is not on a local file system that stays when the containers stop.
    NotLocal,
    /// Another file system is mounted inside a source; it is not read.
    OtherFileSystem,
    /// The path does not exist here.
    Missing,
    /// A container that can write to it is removed by a stop (`--rm`).
    AutoRemove,
    /// The unit is managed by an orchestrator.
    NotCoverable,
    /// It is on another file system than in the last whole point, with much less in it: a disk is not mounted.
    NotMounted,
    /// It held files when it was measured, and none when it was read.
    ReadEmpty,
    /// It could not be read or stored.
    NotSaved,
    /// A part of the recipe (a compose file, an env file) could not be found.
    Recipe,
}
