//! What a verify found. Fields are only ever added.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::share::percent_of;
use crate::model::Identity;
use crate::model::{PointId, SourceKey, UnitName};

#[derive(Debug, Serialize)]
pub struct VerifyReport {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    /// How much was asked for.
    pub files_percent: u8,
    pub points: Vec<PointReport>,
    /// Of the sources of all points.
    pub bytes: u64,
    /// Those of sources that were read to their end, and were good.
    pub read_bytes: u64,
    pub warnings: Vec<String>,
    /// Why it ended before everything was read.
    pub interrupted: Option<String>,
    pub exit_code: u8,
}

#[derive(Clone, Debug, Serialize)]
pub struct PointReport {
    pub unit: UnitName,
    pub backup_id: PointId,
    pub identity: Identity,
    pub result: PointResult,
    pub bytes: u64,
    pub read_bytes: u64,
    /// `read_bytes` of `bytes`, rounded down.
    pub percent: u8,
    pub sources: Vec<SourceReport>,
    /// What is wrong with it, each with its causes, the outermost first.
    pub errors: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PointResult {
    /// Everything that was to be read was read, and is as it was saved.
    Good,
    Damaged,
    /// Something could not be read, for a reason that says nothing about the point.
    Unread,
    /// It was deleted while it was read.
    Deleted,
    /// The verify ended before it was done.
    Unfinished,
}

#[derive(Clone, Debug, Serialize)]
pub struct SourceReport {
    #[serde(flatten)]
    pub key: SourceKey,
    pub bytes: u64,
    pub result: SourceResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceResult {
    Good,
    Damaged,
    Unread,
    /// By `--files-percent`.
    NotChosen,
}

impl PointReport {
    pub fn count(&mut self) {
        self.bytes = self.sources.iter().map(|source| source.bytes).sum();
        let good = self
            .sources
            .iter()
            .filter(|source| source.result == SourceResult::Good);
        self.read_bytes = good.map(|source| source.bytes).sum();
        self.percent = percent_of(self.read_bytes, self.bytes);
    }
}
