//! One source on its way, and how far it can be trusted in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::forecast::ToRead;
use super::hot::{Found, Warm, writers};
use super::plan::Tolerated;
use super::run::Run;
use super::survey::Reading;
use crate::base::fault;
use crate::changed::Kinds;
use crate::changed::index::Lists;
use crate::discovery::Size;
use crate::drivers::kopia::{Accepted, STREAM_FILE};
use crate::drivers::tar::Read;
use crate::drivers::tool::Spec;
use crate::error::Result;
use crate::model::point::{Part, PartKind};
use crate::model::report::{PartReport, ReadAs, SourceReport};
use crate::model::source::{Gap, GapReason};
use crate::model::{Grade, ObjectId, PointId, SnapshotId, Source, SourceKey};
use crate::quiesce::cold::Unclean;

/// What is known at the end of the window about who could write.
pub struct Evidence<'a> {
    /// Who came to life while data was read: a sentence, and the sources that it could write to.
    pub written: Vec<(String, Vec<String>)>,
    /// Who did not stop cleanly.
    pub unclean: &'a Unclean,
    /// Who went on running by the operator's leave.
    pub tolerated: &'a [Tolerated],
    /// What was known before the window.
    pub doubts: &'a BTreeMap<SourceKey, Vec<String>>,
}

/// A source on its way: what is known of it grows from step to step.
pub struct Saved {
    pub source: Source,
    /// What was counted before the stop.
    pub size: Option<Size>,
    pub estimated_bytes: u64,
    pub read: Option<Read>,
    pub read_seconds: f64,
    pub accepted: Option<Accepted>,
    pub error: Option<anyhow::Error>,
    pub grade: Grade,
    pub reasons: Vec<String>,
    /// What the repository had of it before the stop.
    pub warm: Option<Warm>,
    /// Why it was read whole, and what else is worth knowing of how it was read.
    pub read_why: Vec<String>,
    /// What has to be done before the part that was read in the window is extracted.
    pub lists: Lists,
    /// Of files that were not read, since the parts before have them.
    pub kept_bytes: u64,
    /// The parts before have all of it.
    pub is_all_kept: bool,
    /// Who was not stopped, and has a file open for writing that the window read.
    pub busy: Vec<String>,
    /// Why it was read with less in it than was counted, by the operator's agreement.
    pub vanished: Option<String>,
}

impl Saved {
    pub fn new(source: Source, size: Option<Size>) -> Self {
        Self {
            source,
            estimated_bytes: size.as_ref().map_or(0, |size| size.bytes),
            size,
            read: None,
            read_seconds: 0.0,
            accepted: None,
            error: None,
            grade: Grade::Ok,
            reasons: Vec::new(),
            warm: None,
            read_why: Vec::new(),
            lists: Lists::default(),
            kept_bytes: 0,
            is_all_kept: false,
            busy: Vec::new(),
            vanished: None,
        }
    }

    /// The repository has all of it.
    pub fn is_stored(&self) -> bool {
        self.accepted.is_some() || self.is_all_kept
    }

    /// What the window has to read of it, as far as that is known before.
    pub fn to_read(&self) -> ToRead {
        match &self.warm {
            Some(warm) => ToRead {
                bytes: warm.left.bytes,
                walk: warm.left.walk,
            },
            None => ToRead {
                bytes: self.estimated_bytes,
                walk: Duration::ZERO,
            },
        }
    }

    /// What reads it while services are down; `None` where the parts before have all of it.
    pub async fn reader(
        &mut self,
        run: &Run<'_>,
        reading: &Reading,
    ) -> Result<Option<(Spec, Option<Kinds>)>> {
        if let Some(warm) = &mut self.warm {
            match warm.look(run).await {
                Ok(found) => {
                    let rest = self.rest(run, found).await?;
                    return Ok(rest.map(|(tar, kinds)| (tar, Some(kinds))));
                }
                Err(error) if run.shutdown.is_asked() => return Err(error),
                Err(error) => self.read_whole(format!("{error:#}")),
            }
        }
        let (source, is_sparse) = (&self.source, reading.is_sparse);
        let tar = run.tar.create(source, is_sparse, reading.record);
        Ok(Some((tar, None)))
    }

    /// All of it after all: why.
    pub fn read_whole(&mut self, why: String) {
        self.read_why.push(why);
        self.warm = None;
        self.lists = Lists::default();
        self.kept_bytes = 0;
    }

    async fn rest(&mut self, run: &Run<'_>, found: Found) -> Result<Option<(Spec, Kinds)>> {
        self.kept_bytes = found.kept_bytes;
        self.busy = writers::tell(found.busy).await;
        self.is_all_kept = found.rest.is_none();
        let (Some(rest), Some(warm)) = (found.rest, &self.warm) else {
            return Ok(None);
        };
        let tar = warm.tar(&run.tar, &rest)?;
        fault::reached("found").await;
        self.lists = rest.lists;
        Ok(Some(tar))
    }

    /// What it consists of in the repository, with what is done before each part but the first; nothing where it is not stored.
    pub fn parts(&self, run: &PointId) -> Vec<(Part, Option<&Lists>)> {
        if !self.is_stored() {
            return Vec::new();
        }
        let made = |kind, snapshot: &SnapshotId, root: &ObjectId, bytes| {
            let name = STREAM_FILE.to_owned();
            Part::only(kind, snapshot.clone(), root.clone(), name, bytes)
        };
        let mut parts = Vec::new();
        for (number, (part, lists)) in (0..).zip(self.warm.iter().flat_map(Warm::parts)) {
            let other = (part.backup_id != *run).then(|| part.backup_id.clone());
            let is_group = part.streams.len() > 1;
            for (place, stream) in part.streams.iter().enumerate() {
                let kind = match (number, place) {
                    (_, 0) if is_group => PartKind::Folders,
                    (0, _) => PartKind::Base,
                    _ => PartKind::Increment,
                };
                let mut made = made(kind, &stream.snapshot, &stream.root, stream.bytes);
                made.backup_id.clone_from(&other);
                made.group = is_group.then_some(number);
                // Over nothing there is nothing to do.
                parts.push((made, Some(lists).filter(|_| number > 0 && place == 0)));
            }
        }
        if let (Some(accepted), Some(read)) = (&self.accepted, &self.read) {
            let (snapshot, root) = (&accepted.snapshot, &accepted.root);
            let part = made(PartKind::Final, snapshot, root, read.bytes);
            parts.push((part, Some(&self.lists)));
        }
        if let [(only, lists)] = &mut *parts {
            only.kind = PartKind::Full;
            *lists = None;
        }
        parts
    }

    pub fn vanished_gap(&self) -> Option<Gap> {
        self.vanished.as_ref().map(|why| Gap {
            what: self.source.key.to_string(),
            reason: GapReason::ReadEmpty,
            detail: why.clone(),
            is_loss: true,
        })
    }

    /// What is missing, and why, when it could not be read or stored.
    pub fn failure(&self) -> Option<Gap> {
        (!self.is_stored()).then(|| Gap {
            what: self.source.key.to_string(),
            reason: GapReason::NotSaved,
            detail: self.error.as_ref().map_or_else(
                || "it was not stored".to_owned(),
                |error| format!("{error:#}"),
            ),
            is_loss: true,
        })
    }

    /// Lowers the grade by what `evidence` says of this source. Returns what was not allowed: sentences for the
    /// operator.
    pub fn judge(&mut self, evidence: &Evidence<'_>) -> Vec<String> {
        let mut trouble = Vec::new();
        let key = self.source.key.to_string();
        for (sentence, sources) in &evidence.written {
            if sources.contains(&key) {
                trouble.push(format!("{key} is not cold: {sentence}"));
                self.doubt(Grade::Hot, sentence.clone());
            }
        }
        for container in evidence.tolerated {
            if self.source.writers.contains(&container.id) {
                let (name, reason) = (&container.name, &container.reason);
                self.doubt(
                    Grade::Hot,
                    format!("container `{name}` went on running: {reason}"),
                );
            }
        }
        for (id, reason) in evidence.unclean {
            if self.source.writers.contains(id) {
                self.doubt(Grade::Crash, reason.clone());
            }
        }
        for sentence in evidence.doubts.get(&self.source.key).into_iter().flatten() {
            self.doubt(Grade::Crash, sentence.clone());
        }
        for who in &self.busy {
            trouble.push(format!("{key} is not cold: {who}"));
        }
        for who in self.busy.clone() {
            self.doubt(Grade::Hot, who);
        }
        let complaints = self.read.as_ref().map_or(&[][..], |read| &read.complaints);
        if !complaints.is_empty() {
            let complaints = complaints.join("; ");
            trouble.push(format!("{key} could not be read as it was: {complaints}"));
            self.doubt(Grade::Hot, format!("tar said: {complaints}"));
        }
        trouble
    }

    fn doubt(&mut self, grade: Grade, reason: String) {
        self.grade = self.grade.max(grade);
        self.reasons.push(reason);
    }

    fn parts_report(&self, run: &PointId) -> Vec<PartReport> {
        let parts = self.parts(run).into_iter();
        parts
            .map(|(part, _)| PartReport {
                kind: part.kind,
                bytes: part.bytes,
                backup_id: part.backup_id.unwrap_or_else(|| run.clone()),
            })
            .collect()
    }

    /// `run` is the point that is being made.
    pub fn report(&self, run: &PointId) -> SourceReport {
        let window_bytes = self.read.as_ref().map_or(0, |read| read.bytes);
        let parts = self.parts_report(run);
        let before_bytes = self.warm.as_ref().map_or(0, |warm| warm.before_bytes);
        SourceReport {
            key: self.source.key.clone(),
            grade: self.is_stored().then_some(self.grade),
            reasons: self.reasons.clone(),
            bytes: if parts.is_empty() {
                window_bytes
            } else {
                parts.iter().map(|part| part.bytes).sum()
            },
            window_bytes,
            before_bytes,
            kept_bytes: self.kept_bytes,
            parts,
            read: if self.warm.is_some() {
                ReadAs::Changed
            } else {
                ReadAs::Plain
            },
            read_why: self.read_why.clone(),
            read_seconds: self.read_seconds,
            error: self.error.as_ref().map(|error| format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        let source = Source {
            key: SourceKey::Volume {
                name: "db".to_owned(),
            },
            path: "/v/db".into(),
            is_file: false,
            destinations: Vec::new(),
            exclude_patterns: Vec::new(),
            is_anonymous: false,
            writers: vec!["writer".to_owned()],
            covers: Vec::new(),
            also_reads: Vec::new(),
            is_included: false,
        };
        Saved::new(source, None)
    }

    #[test]
    fn the_worst_that_is_known_decides_and_only_what_nobody_allowed_is_trouble() {
        let nothing = BTreeMap::new();
        let unclean = vec![("writer".to_owned(), "it was killed".to_owned())];
        let tolerated = [Tolerated {
            id: "writer".to_owned(),
            name: "w".to_owned(),
            reason: "allowed".to_owned(),
        }];
        let none = Vec::new();
        let evidence = |written: &[&str], unclean, tolerated| Evidence {
            written: written
                .iter()
                .map(|key| ("somebody wrote".to_owned(), vec![(*key).to_owned()]))
                .collect(),
            unclean,
            tolerated,
            doubts: &nothing,
        };
        for (evidence, grade, is_trouble) in [
            (evidence(&[], &none, &[]), Grade::Ok, false),
            (evidence(&["volume `other`"], &none, &[]), Grade::Ok, false),
            (evidence(&[], &unclean, &[]), Grade::Crash, false),
            (evidence(&[], &unclean, &tolerated[..]), Grade::Hot, false),
            (evidence(&["volume `db`"], &unclean, &[]), Grade::Hot, true),
        ] {
            let mut saved = saved();
            assert_eq!(!saved.judge(&evidence).is_empty(), is_trouble, "{grade}");
            assert_eq!(saved.grade, grade);
        }
    }
}
