//! The recipe is saved last: it is the commit record. Snapshots without one are no restore point.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::memory::{Carried, Past};
use super::run::Run;
use super::saved::Saved;
use super::tags::Filing;
use crate::base::text;
use crate::changed::index::Lists;
use crate::changed::paths::Paths;
use crate::error::Result;
use crate::model::exclude::Excludes;
use crate::model::point::{
    FileRecord, ListEnding, MissingSource, Part, PathList, PointRecord, ProjectRecord, RECORD_FILE,
    SourceRecord, format_of, list_file,
};
use crate::model::source::Gap;
use crate::model::{Grade, ObjectId, PointId, Source, SourceKey, Unit};

/// What a point is made of, before it is known whether it is whole.
pub struct Draft<'a> {
    pub unit: &'a Unit,
    pub sources: &'a [Saved],
    pub gaps: &'a [Gap],
    pub downtime_seconds: f64,
    pub started_at: DateTime<Utc>,
    pub project: Option<ProjectRecord>,
    pub files: Vec<FileRecord>,
    pub past: &'a Past,
    pub carried: Carried,
}

impl<'a> Draft<'a> {
    /// With what is done before each part of each source is extracted.
    pub fn record(self, run: &Run<'_>) -> (PointRecord, Vec<Vec<Option<&'a Lists>>>) {
        let run_id: PointId = run.backup_id.into();
        let stored = self
            .sources
            .iter()
            .map(|saved| (saved, saved.parts(&run_id)));
        let stored = stored.filter(|(_, parts)| !parts.is_empty());
        let (sources, lists): (Vec<SourceRecord>, Vec<Vec<Option<&'a Lists>>>) = stored
            .map(|(saved, parts)| {
                let (mut parts, lists): (Vec<Part>, Vec<_>) = parts.into_iter().unzip();
                for (part, lists) in parts.iter_mut().zip(&lists) {
                    part.deleted = lists.and_then(|lists| path_list(&lists.deleted));
                    part.stripped = lists.and_then(|lists| path_list(&lists.stripped));
                }
                (source_record(saved, self.past, parts), lists)
            })
            .unzip();
        let missing: Vec<MissingSource> = self
            .sources
            .iter()
            .filter(|saved| !self.carried.is_left_out(&saved.source.key))
            .filter_map(|saved| {
                Some(MissingSource {
                    reason: saved.failure()?.detail,
                    key: saved.source.key.clone(),
                })
            })
            .collect();
        let is_whole = missing.is_empty() && !self.gaps.iter().any(|gap| gap.is_loss);
        let grade = if is_whole {
            sources
                .iter()
                .map(|source| source.grade)
                .max()
                .unwrap_or(Grade::Ok)
        } else {
            Grade::Partial
        };
        let record = PointRecord {
            format: format_of(&sources),
            kopi_docka_version: env!("CARGO_PKG_VERSION").to_owned(),
            backup_id: run.backup_id.into(),
            unit: self.unit.name.clone(),
            kind: self.unit.kind,
            identity: run.store.kopia.identity(),
            started_at: self.started_at,
            grade,
            sources,
            missing,
            gaps: self.gaps.to_vec(),
            downtime_seconds: self.downtime_seconds,
            project: self.project,
            files: self.files,
            agreed: self.carried.agreed,
            holds: self.carried.holds,
            former: self.carried.former,
            ids: Some(run.ids.clone()),
        };
        (record, lists)
    }
}

fn source_record(saved: &Saved, past: &Past, parts: Vec<Part>) -> SourceRecord {
    SourceRecord {
        key: saved.source.key.clone(),
        read_from: saved.source.path.clone(),
        is_file: saved.source.is_file,
        destinations: saved.source.destinations.clone(),
        exclude_patterns: saved.source.exclude_patterns.clone(),
        grade: saved.grade,
        reasons: saved.reasons.clone(),
        parts,
        files: saved.size.as_ref().map(|size| size.files),
        bytes: saved.size.as_ref().map(|size| size.bytes),
        file_system: past.file_system(&saved.source.key),
        covers: Some(covers(&saved.source)),
        is_included: saved.source.is_included,
        directories: past.directories(&saved.source.key),
    }
}

/// What is in its stream besides: not what a pattern keeps out of it.
fn covers(source: &Source) -> Vec<SourceKey> {
    let excludes = Excludes::new(&source.exclude_patterns);
    let is_read = |path: &Path| {
        let below = path.strip_prefix(&source.path);
        !below.is_ok_and(|below| excludes.leave_out(below))
    };
    let binds = source.covers.iter();
    let binds = binds.filter(|bind| is_read(&bind.path));
    let volumes = source.also_reads.iter();
    let volumes = volumes.filter(|(_, path)| is_read(path));
    binds
        .map(|bind| bind.key.clone())
        .chain(volumes.map(|(key, _)| key.clone()))
        .collect()
}

/// Adds `record` and the `lists` of its parts to what was captured in `work` and saves it all. After this the point exists.
pub async fn write(
    run: &Run<'_>,
    filing: &Filing,
    work: &Path,
    (record, lists): (&PointRecord, &[Vec<Option<&Lists>>]),
) -> Result<()> {
    write_lists(work, lists).context("the lists of the recipe cannot be written")?;
    // As the rest of it, whatever the umask is.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(work.join(RECORD_FILE));
    file.and_then(|mut file| file.write_all(&serde_json::to_vec_pretty(record)?))
        .with_context(|| format!("`{RECORD_FILE}` of the recipe cannot be written"))?;
    let parts = || record.sources.iter().flat_map(|source| &source.parts);
    let roots: Vec<ObjectId> = parts().map(|part| part.root.clone()).collect();
    let bytes = parts().map(|part| part.bytes).sum();
    let new = filing.recipe(record, &roots, bytes);
    let stall = run.config.backup.stall_timeout;
    let _slot = run.store.slots.acquire().await?;
    run.store
        .kopia
        .snapshot_folder(work, &new, stall)
        .await
        .context("the recipe could not be saved, so there is no restore point")?;
    Ok(())
}

/// `None` for an empty one.
fn path_list(paths: &Paths) -> Option<PathList> {
    (paths.count > 0).then(|| PathList {
        paths: paths.count,
        sha256: text::hex(&Sha256::digest(&paths.bytes)),
    })
}

/// Beside the record: a name may be no text.
fn write_lists(work: &Path, lists: &[Vec<Option<&Lists>>]) -> std::io::Result<()> {
    for (source, parts) in lists.iter().enumerate() {
        let parts = parts.iter().enumerate();
        for (part, lists) in parts.filter_map(|(part, lists)| Some((part, (*lists)?))) {
            let both = [
                (ListEnding::Delete, &lists.deleted),
                (ListEnding::Strip, &lists.stripped),
            ];
            for (ending, paths) in both.into_iter().filter(|(_, paths)| paths.count > 0) {
                let path = work.join(list_file(source, part, ending));
                std::fs::create_dir_all(path.parent().unwrap_or(work))?;
                std::fs::write(path, &paths.bytes)?;
            }
        }
    }
    Ok(())
}
