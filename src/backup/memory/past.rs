//! A unit's past, from the plan to the record of its new point.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::compare::{self, Findings, Now};
use super::recall::Recalled;
use super::uuid::Uuids;
use super::{agree, file_system, left_out};
use crate::backup::plan::UnitPlan;
use crate::backup::saved::Saved;
use crate::base::blocking::aside;
use crate::config::Percent;
use crate::discovery::mount_table::MountTable;
use crate::discovery::{self, Size};
use crate::drivers::tar::Record;
use crate::model::point::{
    Agreement, DirectoryRecord, FileSystem, Former, Hold, MissingSource, PointRecord,
};
use crate::model::source::{Gap, GapReason};
use crate::model::{Source, SourceKey, UnitName};

/// How long the point before a doubt is kept.
const HELD_FOR: TimeDelta = TimeDelta::days(30);

/// For a look at a path; more than this and nothing is known of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a look within the window.
const PATIENCE_IN_WINDOW: Duration = Duration::from_secs(2);

/// Losing less than this at a stop is what services do: pid files, sockets, scratch files.
const FLOOR_BYTES: u64 = 16 << 10;

/// Whether the operator agrees to the losses of this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acceptance {
    #[default]
    No,
    Yes,
}

/// What is known of the last whole point, and what was found against it.
#[derive(Debug, Default)]
pub struct Past {
    recalled: Recalled,
    acceptance: Acceptance,
    limit: Option<Percent>,
    places: BTreeMap<SourceKey, Place>,
    findings: Findings,
}

#[derive(Clone, Debug)]
struct Place {
    file_system: Option<FileSystem>,
    device: u64,
    directories: Vec<DirectoryRecord>,
}

/// What the record of the new point says of the past.
pub struct Carried {
    pub agreed: Vec<Agreement>,
    pub holds: Vec<Hold>,
    pub former: Vec<Former>,
    pub warnings: Vec<String>,
    /// Sources that could not be saved, which the operator agreed to.
    left_out: Vec<SourceKey>,
}

impl Carried {
    pub fn is_left_out(&self, key: &SourceKey) -> bool {
        self.left_out.contains(key)
    }
}

/// Compares what is planned with the last whole point. Losses become gaps, doubts and changes warnings.
pub async fn look_back(
    plan: &mut UnitPlan,
    recalled: Recalled,
    limit: Percent,
    acceptance: Acceptance,
) {
    let places = places(&plan.unit.sources).await;
    let findings = match &recalled.last {
        Some(last) => compare::compare(
            &plan.unit,
            &plan.gaps,
            last,
            |source| Now {
                counted: plan
                    .sizes
                    .get(&source.key)
                    .map(|size| (size.bytes, size.files)),
                file_system: places
                    .get(&source.key)
                    .and_then(|place| place.file_system.as_ref()),
            },
            limit,
        ),
        None => Findings::default(),
    };
    plan.gaps.extend(findings.losses.iter().cloned());
    let former = findings.former.iter().map(compare::no_longer_mounted);
    plan.warnings.extend(former);
    plan.past = Past {
        recalled,
        acceptance,
        limit: Some(limit),
        places,
        findings,
    };
    for doubt in &plan.past.findings.doubts {
        let warning = plan.past.told(doubt, plan.unit.name.as_str());
        plan.warnings.push(warning);
    }
}

/// Takes the losses that the operator agreed to for none: for those who only look.
pub fn settle_for_show(plan: &mut UnitPlan) {
    let agreed = plan.past.recalled.agreed.clone();
    agree::settle(&mut plan.gaps, &agreed, false, Utc::now());
}

/// Where sources are; one that does not answer is left out.
async fn places(sources: &[Source]) -> BTreeMap<SourceKey, Place> {
    let (mounts, uuids) = (MountTable::read(), Uuids::read());
    let mut places = BTreeMap::new();
    for source in sources {
        if let Some(device) = device(source, PATIENCE).await {
            let file_system = file_system::of(&source.path, &mounts, &uuids);
            places.insert(
                source.key.clone(),
                Place {
                    file_system,
                    device,
                    directories: directories(source).await,
                },
            );
        }
    }
    places
}

/// Above a bind, by its name: Docker makes those of a volume.
async fn directories(source: &Source) -> Vec<DirectoryRecord> {
    let SourceKey::Bind { path } = &source.key else {
        return Vec::new();
    };
    let path = path.clone();
    let look = aside(move || Ok(DirectoryRecord::above(&path)));
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(directories)) => directories,
        _ => Vec::new(),
    }
}

async fn device(source: &Source, patience: Duration) -> Option<u64> {
    let path = source.path.clone();
    let look = aside(move || Ok(std::fs::metadata(path)?.dev()));
    tokio::time::timeout(patience, look).await.ok()?.ok()
}

impl Past {
    pub fn file_system(&self, key: &SourceKey) -> Option<FileSystem> {
        self.places.get(key)?.file_system.clone()
    }

    pub fn directories(&self, key: &SourceKey) -> Vec<DirectoryRecord> {
        let place = self.places.get(key);
        place.map_or_else(Vec::new, |place| place.directories.clone())
    }

    fn accepts(&self) -> bool {
        self.acceptance == Acceptance::Yes
    }

    pub fn is_agreed(&self, what: &str) -> bool {
        self.accepts() || self.recalled.agreed.iter().any(|known| known.what == what)
    }

    /// Whether `source`, of which `size` was counted before the stop, was read to `stream` bytes because its data went away meanwhile: a
    /// mount that a stopped container provided, a disk that was unmounted. The reason.
    pub async fn vanished(
        &self,
        source: &Source,
        size: Option<&Size>,
        stream: u64,
    ) -> Option<String> {
        let size = size.filter(|size| size.files > 0)?;
        let before = self.places.get(&source.key)?.device;
        let is_same = device(source, PATIENCE_IN_WINDOW).await == Some(before);
        let is_lost = if is_same {
            // One record: there may be no members.
            stream <= Record::of(Some(size.bytes)).bytes()
                && size.bytes >= FLOOR_BYTES
                && is_all_but_empty(source).await
        } else {
            has_less(source, size, stream).await
        };
        let files = usize::try_from(size.files).unwrap_or(usize::MAX);
        is_lost.then(|| {
            format!(
                "it held {} in {} before the stop, and as good as nothing when it was read: does a container of the unit mount it?",
                crate::base::text::bytes(size.bytes),
                crate::base::text::count(files, "file"),
            )
        })
    }

    /// What the new point's record carries on. Settles which of `gaps` are losses, and adds the sources that could not be saved by the
    /// operator's agreement.
    pub fn carry_on(
        &mut self,
        unit: &str,
        saved: &[Saved],
        gaps: &mut Vec<Gap>,
        now: DateTime<Utc>,
    ) -> Carried {
        let late: Vec<compare::Doubt> = self
            .findings
            .undecided
            .iter()
            .filter_map(|key| {
                let saved = saved.iter().find(|saved| saved.source.key == *key)?;
                let (last, limit) = (self.recalled.last.as_ref()?, self.limit?);
                saved.streams.first()?;
                let stream = saved.window_bytes();
                compare::by_stream(&saved.source, last, stream, limit)
            })
            .collect();
        let warnings = late.iter().map(|doubt| self.told(doubt, unit)).collect();
        self.findings.doubts.extend(late);
        let mut agreed = agree::settle(gaps, &self.recalled.agreed, self.accepts(), now);
        let mut left_out = Vec::new();
        for saved in saved {
            let Some(failure) = saved.failure() else {
                continue;
            };
            let key = &saved.source.key;
            let mut failure = [failure];
            agreed.extend(agree::settle(
                &mut failure,
                &self.recalled.agreed,
                self.accepts_failure(key),
                now,
            ));
            let [failure] = failure;
            if !failure.is_loss {
                left_out.push(key.clone());
                gaps.push(failure);
            }
        }
        Carried {
            agreed,
            holds: self.holds(now),
            former: self.findings.former.clone(),
            warnings,
            left_out,
        }
    }

    /// The operator has seen it fail before: what fails for the first time may be an accident, which nothing that is said before the run
    /// can be about.
    fn accepts_failure(&self, key: &SourceKey) -> bool {
        self.accepts() && self.recalled.failing.contains(key)
    }

    /// What is known after the point of `record` was written.
    pub fn next(&self, record: &PointRecord) -> Recalled {
        let doubted = self.findings.doubts.iter().map(|doubt| &doubt.key);
        let doubted: Vec<&SourceKey> = doubted.collect();
        self.recalled.and_then(record, &doubted)
    }

    /// What is known after a run that could save nothing: `failing` are the sources.
    pub fn next_without_point(&self, failing: Vec<SourceKey>) -> Recalled {
        Recalled {
            failing,
            ..self.recalled.clone()
        }
    }

    /// One line about a source that could not be saved: the cause, and what the operator can do.
    pub fn told_missing(&self, unit: &UnitName, missing: &MissingSource) -> String {
        let MissingSource { key, reason } = missing;
        let what = key.to_string();
        let ways = if self.accepts() {
            format!(
                "It has not failed before, so `--accept-loss` was not taken to be about it: if it is to be left out, run `kopi-docka backup --accept-loss {unit}` again"
            )
        } else {
            left_out::ways_out(unit, &what, GapReason::NotSaved)
        };
        format!("{what} could not be saved: {reason}. {ways}")
    }

    fn holds(&self, now: DateTime<Utc>) -> Vec<Hold> {
        if self.accepts() {
            return Vec::new();
        }
        let carried = self.recalled.last.iter().flat_map(|last| &last.holds);
        let new = self.findings.doubts.iter().map(|doubt| Hold {
            point: doubt.point.clone(),
            until: now + HELD_FOR,
        });
        let mut holds: Vec<Hold> = Vec::new();
        for hold in new.chain(carried.cloned()) {
            if hold.until > now && !holds.iter().any(|known| known.point == hold.point) {
                holds.push(hold);
            }
        }
        holds
    }

    fn told(&self, doubt: &compare::Doubt, unit: &str) -> String {
        if self.accepts() {
            return format!("{}, as you agreed", doubt.sentence);
        }
        format!(
            "{}. If that is not meant, restore from {}: it is kept for 30 days whatever `retention` says, or until `kopi-docka backup --accept-loss {unit}`",
            doubt.sentence, doubt.point
        )
    }
}

/// What is in `source` now; `None` when that cannot be told in the window.
async fn measured_again(source: &Source) -> Option<Size> {
    let again = discovery::measure(&source.path, &source.exclude_patterns);
    let measured = tokio::time::timeout(PATIENCE_IN_WINDOW, again).await;
    measured.ok()?.ok()
}

async fn has_less(source: &Source, size: &Size, stream: u64) -> bool {
    match measured_again(source).await {
        Some(now) => now.files == 0 || now.bytes < size.bytes / 2,
        None => stream < size.bytes / 2,
    }
}

async fn is_all_but_empty(source: &Source) -> bool {
    let now = measured_again(source).await;
    now.is_none_or(|now| now.bytes <= Record::Small.bytes())
}
