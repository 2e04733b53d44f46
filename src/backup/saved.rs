//! One source on its way, and how far it can be trusted in the end.

use std::collections::BTreeMap;

use super::plan::Tolerated;
use crate::discovery::Size;
use crate::drivers::kopia::Accepted;
use crate::drivers::tar::Read;
use crate::model::report::SourceReport;
use crate::model::source::{Gap, GapReason};
use crate::model::{Grade, Source, SourceKey};
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
#[derive(Debug)]
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
            vanished: None,
        }
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
        self.accepted.is_none().then(|| Gap {
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

    pub fn report(&self) -> SourceReport {
        SourceReport {
            key: self.source.key.clone(),
            grade: self.accepted.as_ref().map(|_| self.grade),
            reasons: self.reasons.clone(),
            bytes: self.read.as_ref().map_or(0, |read| read.bytes),
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
