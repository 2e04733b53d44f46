//! What a restore did.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::Identity;
use crate::model::report::StepTime;
use crate::model::{BackupId, PointId, SourceKey, UnitName};
use crate::restore::plan::files::FileAction;
use crate::restore::plan::pieces::Piece;

/// Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct RestoreReport {
    pub restore_id: BackupId,
    pub unit: UnitName,
    /// The name of the copy that was made of the unit.
    pub project: Option<UnitName>,
    pub backup_id: PointId,
    pub identity: Identity,
    /// Whether the targets hold what was saved. All of them do, or none.
    pub is_restored: bool,
    pub sources: Vec<RestoredSource>,
    pub files: Vec<RestoredFile>,
    /// From just before the first stop was asked until the last start was done; 0 when nothing was stopped.
    pub downtime_seconds: f64,
    pub steps: Vec<StepTime>,
    pub warnings: Vec<String>,
    /// What the file systems could not hold, by the operator's leave.
    pub losses: Vec<Loss>,
    /// What went wrong after the targets had their new content.
    pub errors: Vec<String>,
    pub still_stopped: Vec<String>,
    /// Containers that are left down on purpose: they are not those of the point.
    pub held: Vec<String>,
    /// How the container of a standalone unit was made, for reading.
    pub container_script: Option<PathBuf>,
    /// The unit was started as was asked for.
    pub is_up: bool,
    pub next_steps: Vec<String>,
    pub exit_code: u8,
}

#[derive(Debug, Serialize)]
pub struct Loss {
    /// The source.
    pub what: String,
    pub count: usize,
    /// The first ones of many, one line each.
    pub lost: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct RestoredSource {
    #[serde(flatten)]
    pub key: SourceKey,
    #[serde(flatten)]
    pub piece: Piece,
    pub target: PathBuf,
    /// Length of the streams that were read for it.
    pub bytes: u64,
    /// Where what was there before is.
    pub safety_copy: Option<PathBuf>,
    /// The source that it came with: what was there before is in the safety copy of that.
    pub inside: Option<SourceKey>,
    /// As the operator knows it.
    #[serde(skip)]
    pub what: String,
}

#[derive(Debug, Serialize)]
pub struct RestoredFile {
    pub path: PathBuf,
    pub action: FileAction,
    pub safety_copy: Option<PathBuf>,
}

impl RestoreReport {
    pub fn safety_copies(&self) -> impl Iterator<Item = &Path> {
        let sources = self
            .sources
            .iter()
            .filter_map(|source| source.safety_copy.as_deref());
        sources.chain(
            self.files
                .iter()
                .filter_map(|file| file.safety_copy.as_deref()),
        )
    }
}

/// What can be done with the safety copies of `id`.
pub fn advice(id: BackupId) -> [String; 2] {
    [
        format!("  put it back:  kopi-docka restore --undo {id}"),
        format!("  remove it:    kopi-docka restore --discard-safety {id}"),
    ]
}
