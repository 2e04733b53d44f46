//! One source on its way, and how far it can be trusted in the end.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::forecast::ToRead;
use super::hot::{self, Found, Warm, writers};
use super::plan::Tolerated;
use super::run::Run;
use super::store::{NotRead, Storing};
use super::survey::Reading;
use super::tags::Filing;
use crate::base::fault;
use crate::base::text;
use crate::changed::Kinds;
use crate::changed::clones::Clones;
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

/// A stream of a source that was read while services were down.
pub struct WindowStream {
    pub read: Read,
    /// Once the repository has it.
    pub accepted: Option<Accepted>,
}

/// A source on its way: what is known of it grows from step to step.
pub struct Saved {
    pub source: Source,
    /// What was counted before the stop.
    pub size: Option<Size>,
    pub estimated_bytes: u64,
    /// What was read while services were down, in order.
    pub streams: Vec<WindowStream>,
    pub read_seconds: f64,
    /// What was cloned then, until it is stored; and what of it is.
    pub clones: Clones,
    pub cloned: Option<(Accepted, u64)>,
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

impl WindowStream {
    pub fn new(read: Read) -> Self {
        Self {
            read,
            accepted: None,
        }
    }
}

impl Saved {
    pub fn new(source: Source, size: Option<Size>) -> Self {
        Self {
            source,
            estimated_bytes: size.as_ref().map_or(0, |size| size.bytes),
            size,
            streams: Vec::new(),
            read_seconds: 0.0,
            clones: Clones::new(),
            cloned: None,
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
        let is_read =
            !self.streams.is_empty() && self.streams.iter().all(|stream| stream.accepted.is_some());
        self.is_all_kept || (is_read && self.error.is_none() && self.clones.is_empty())
    }

    /// Of its streams.
    pub fn window_bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.read.bytes).sum()
    }

    /// What the window has to read of it, as far as that is known before.
    pub fn to_read(&self) -> ToRead {
        match &self.warm {
            Some(warm) => warm.to_read(),
            None => ToRead {
                bytes: self.estimated_bytes,
                walk: Duration::ZERO,
            },
        }
    }

    /// What reads it while services are down, one after the other; nothing where the parts before have all of it.
    pub async fn readers(
        &mut self,
        run: &Run<'_>,
        reading: &Reading,
    ) -> Result<Vec<(Spec, Option<Kinds>)>> {
        if let Some(warm) = &mut self.warm {
            match warm.look(run).await {
                Ok(found) => {
                    return self.rest(run, found).await;
                }
                Err(error) if run.shutdown.is_asked() => return Err(error),
                Err(error) => self.read_whole(format!("{error:#}")),
            }
        }
        let (source, is_sparse) = (&self.source, reading.is_sparse);
        let tar = run.tar.create(source, is_sparse, reading.record);
        Ok(vec![(tar, None)])
    }

    /// Waits until the repository has what was read, and reads what was cloned.
    pub async fn finish(&mut self, run: &Run<'_>, filing: &Filing, storing: Vec<Storing>) {
        let clones = std::mem::take(&mut self.clones);
        let cloning = async {
            if clones.is_empty() || self.error.is_some() {
                return Ok(None);
            }
            let stored = hot::store_clones(run, filing, &self.source, clones).await;
            stored.map(Some)
        };
        let storing = storing.into_iter().map(Storing::finish);
        let (cloned, stored) = tokio::join!(cloning, join_all(storing));
        for (number, stored) in stored.into_iter().enumerate() {
            match stored {
                Ok(accepted) => {
                    if let Some(stream) = self.streams.get_mut(number) {
                        stream.accepted = Some(accepted);
                    }
                }
                // The reading has told why already.
                Err(error) if error.is::<NotRead>() && self.error.is_some() => {}
                // A kopia that dies takes tar with it: its words tell more.
                Err(error) => self.error = Some(error),
            }
        }
        match cloned {
            Ok(cloned) => self.cloned = cloned,
            Err(error) => _ = self.error.get_or_insert(error),
        }
    }

    /// Nothing of it is stored.
    pub fn fail(&mut self, error: anyhow::Error) {
        self.error = Some(error);
        self.streams.clear();
        self.clones.clear();
    }

    /// All of it after all: why.
    pub fn read_whole(&mut self, why: String) {
        self.read_why.push(why);
        self.warm = None;
        self.lists = Lists::default();
        self.kept_bytes = 0;
        self.streams.clear();
        self.clones.clear();
    }

    async fn rest(&mut self, run: &Run<'_>, found: Found) -> Result<Vec<(Spec, Option<Kinds>)>> {
        self.kept_bytes = found.kept_bytes;
        self.busy = writers::tell(found.busy).await;
        self.is_all_kept = found.rest.is_none();
        let (Some(rest), Some(warm)) = (found.rest, &self.warm) else {
            return Ok(Vec::new());
        };
        let streams = rest.streams.iter();
        let tars = streams.map(|stream| {
            let (tar, kinds) = warm.tar(&run.tar, stream)?;
            Ok((tar, Some(kinds)))
        });
        let tars = tars.collect::<Result<_>>()?;
        fault::reached("found").await;
        self.lists = rest.lists;
        self.clones = rest.clones;
        if !self.clones.is_empty() {
            self.read_why.push(format!(
                "{} cloned while it was down, and read when services ran again",
                text::count(self.clones.len(), "large file")
            ));
        }
        Ok(tars)
    }

    /// What it consists of in the repository, with what is done before each part but the first; nothing where it is not stored.
    pub fn parts(&self, run: &PointId) -> Vec<(Part, Option<&Lists>)> {
        if !self.is_stored() {
            return Vec::new();
        }
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
        parts.extend(self.last_parts(parts.len()));
        if let [(only, lists)] = &mut *parts {
            only.kind = PartKind::Full;
            *lists = None;
        }
        parts
    }

    /// Those that were read in the window, and of what was cloned then: one, or a group with a number that no part before has.
    fn last_parts(&self, before: usize) -> Vec<(Part, Option<&Lists>)> {
        let read = self.streams.iter();
        let read = read.filter_map(|it| Some((it.accepted.as_ref()?, it.read.bytes)));
        let cloned = self
            .cloned
            .iter()
            .map(|(accepted, bytes)| (accepted, *bytes));
        let is_group = self.cloned.is_some();
        let group = u32::try_from(before).ok().filter(|_| is_group);
        let parts = read.chain(cloned).enumerate();
        parts
            .map(|(place, (accepted, bytes))| {
                let kind = match place {
                    0 if is_group => PartKind::Folders,
                    _ => PartKind::Final,
                };
                let mut part = made(kind, &accepted.snapshot, &accepted.root, bytes);
                part.group = group;
                (part, Some(&self.lists).filter(|_| place == 0))
            })
            .collect()
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
        let complaints = self.streams.iter().flat_map(|it| &it.read.complaints);
        let complaints: Vec<&str> = complaints.map(String::as_str).collect();
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
        let window_bytes = self.window_bytes();
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
            after_bytes: self.cloned.as_ref().map_or(0, |(_, bytes)| *bytes),
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

fn made(kind: PartKind, snapshot: &SnapshotId, root: &ObjectId, bytes: u64) -> Part {
    let name = STREAM_FILE.to_owned();
    Part::only(kind, snapshot.clone(), root.clone(), name, bytes)
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
