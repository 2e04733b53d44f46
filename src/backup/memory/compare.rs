//! This unit now against what its last whole point held.

use super::recall::{Held, Remembered};
use crate::base::text;
use crate::config::Percent;
use crate::model::point::{FileSystem, Former};
use crate::model::source::{Gap, GapReason};
use crate::model::{PointId, Source, SourceKey, Unit};

/// What may go without a word. Less than this is what services make and remove by themselves: pid and lock files, sockets' neighbours,
/// tokens, a cache's index. A doubt about each of those would teach the operator not to read doubts.
const FLOOR_BYTES: u64 = 16 << 10;

/// The length of a tar stream that holds as good as nothing: one record.
const EMPTY_STREAM: u64 = 10_240;

/// What a source holds now; `None` where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now<'a> {
    /// Bytes and files, counted before the stop.
    pub counted: Option<(u64, u64)>,
    pub file_system: Option<&'a FileSystem>,
}

/// What comparing found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Of sources that are read all the same: what is there is not what was there.
    pub losses: Vec<Gap>,
    pub doubts: Vec<Doubt>,
    /// Could not be compared yet: what was not counted then or now is compared by the length of the streams.
    pub undecided: Vec<SourceKey>,
    /// What is not mounted any more.
    pub former: Vec<Former>,
}

/// A source that has shrunk where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub key: SourceKey,
    /// The last one that holds more.
    pub point: PointId,
    pub sentence: String,
}

/// `gaps` are all that is known to be left out.
pub fn compare<'a>(
    unit: &Unit,
    gaps: &[Gap],
    before: &Remembered,
    now: impl Fn(&Source) -> Now<'a>,
    limit: Percent,
) -> Findings {
    let mut findings = Findings::default();
    for source in &unit.sources {
        let Some(held) = before.held(&source.key) else {
            continue;
        };
        let now = now(source);
        let (Some(was), Some(is)) = (held.counted(), now.counted) else {
            findings.undecided.push(source.key.clone());
            continue;
        };
        let is_emptied = was.1 > 0 && is.1 == 0;
        if is_elsewhere(held, &now) {
            // An empty directory where a disk was needs no floor: there is nothing else that it could mean.
            if is_emptied || has_shrunk(was.0, is.0, limit) {
                findings.losses.push(not_mounted(source, was, is));
            }
        } else if has_shrunk(was.0, is.0, limit) && !is_explained(held, source) {
            findings.doubts.push(Doubt {
                key: source.key.clone(),
                point: held.point.clone(),
                sentence: smaller(held, &amount(is), &amount(was)),
            });
        }
    }
    findings.former = former(unit, gaps, before);
    findings
}

/// By the length of the streams, where nothing better is known. The doubt, if there is one.
pub fn by_stream(
    source: &Source,
    before: &Remembered,
    stream: u64,
    limit: Percent,
) -> Option<Doubt> {
    let held = before.held(&source.key)?;
    let is_smaller = has_shrunk(held.stream, stream.saturating_sub(EMPTY_STREAM), limit);
    (is_smaller && !is_explained(held, source)).then(|| Doubt {
        key: source.key.clone(),
        point: held.point.clone(),
        sentence: smaller(held, &text::bytes(stream), &text::bytes(held.stream)),
    })
}

fn has_shrunk(was: u64, is: u64, limit: Percent) -> bool {
    let is_emptied = is == 0 && was > 0;
    was.saturating_sub(is) >= FLOOR_BYTES && (is_emptied || limit.is_exceeded(was, is))
}

fn is_elsewhere(held: &Held, now: &Now<'_>) -> bool {
    match (&held.file_system, now.file_system) {
        (Some(was), Some(is)) => was != is,
        _ => false,
    }
}

/// A pattern that was added since leaves out what was there.
fn is_explained(held: &Held, source: &Source) -> bool {
    source
        .exclude_patterns
        .iter()
        .any(|pattern| !held.exclude_patterns.contains(pattern))
}

fn not_mounted(source: &Source, was: (u64, u64), is: (u64, u64)) -> Gap {
    Gap {
        what: source.key.to_string(),
        reason: GapReason::NotMounted,
        detail: format!(
            "another file system is there than in the last whole point, with {} in it instead of {}: is its disk mounted?",
            amount(is),
            amount(was)
        ),
        is_loss: true,
    }
}

fn smaller(held: &Held, is: &str, was: &str) -> String {
    format!(
        "{} is much smaller than in {}: {is} instead of {was}",
        held.key, held.point
    )
}

fn amount((bytes, files): (u64, u64)) -> String {
    let count = usize::try_from(files).unwrap_or(usize::MAX);
    format!("{} in {}", text::bytes(bytes), text::count(count, "file"))
}

/// What the last point or one before it had, and what is neither read nor named as left out now.
fn former(unit: &Unit, gaps: &[Gap], before: &Remembered) -> Vec<Former> {
    let is_here = |key: &SourceKey| {
        let name = key.to_string();
        let covered = unit.sources.iter().flat_map(|source| &source.covers);
        unit.sources
            .iter()
            .chain(covered)
            .any(|source| source.key == *key)
            || gaps.iter().any(|gap| gap.what.contains(&name))
    };
    let last = before.sources.iter().map(|held| Former {
        key: held.key.clone(),
        last: held.point.clone(),
    });
    let mut former: Vec<Former> = last
        .chain(before.former.iter().cloned())
        .filter(|former| !is_here(&former.key))
        .collect();
    former.sort_by(|a, b| a.key.cmp(&b.key));
    former.dedup_by(|a, b| a.key == b.key);
    former
}

pub fn no_longer_mounted(former: &Former) -> String {
    format!(
        "{} is not saved any more: no container mounts it. {} is the last point that holds it, until `retention` removes that",
        former.key, former.last
    )
}

#[cfg(test)]
mod tests;
