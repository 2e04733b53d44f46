//! Looks at one unit as it is now, and plans it. Asks the disk, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::in_memory;
use super::plan::{UnitPlan, plan};
use super::safety_copies;
use super::turns::Turns;
use crate::base::blocking::aside;
use crate::base::heartbeat;
use crate::base::text;
use crate::config::Config;
use crate::discovery::disk::{self, Disks};
use crate::discovery::{self, BindLimit, Discovery, Rules, Size};
use crate::drivers::tar::Record;
use crate::error::Result;
use crate::model::source::{Gap, GapReason};
use crate::model::{Source, SourceKey, Unit};

/// A unit whose sources are known.
pub struct Surveyed {
    pub unit: Unit,
    /// One that could not be measured in time is missing.
    pub sizes: BTreeMap<SourceKey, Size>,
    pub reading: BTreeMap<SourceKey, Reading>,
}

/// How a source is read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Tar looks for holes.
    pub is_sparse: bool,
    pub record: Record,
    /// The rotating disks that it is on.
    pub disks: Disks,
}

/// How many sources are measured at once.
const AT_ONCE: usize = 4;

/// What a run would do to `unit`, which is on `host`.
pub async fn plan_unit(
    unit: Unit,
    host: &Discovery,
    config: &Config,
    rules: &Rules,
) -> Result<UnitPlan> {
    let Surveyed {
        mut unit,
        sizes,
        reading,
    } = survey(unit, rules, config.backup.stall_timeout).await?;
    in_memory::name_sizes(&mut unit).await;
    let stop_timeout = config
        .unit(unit.name.as_str())
        .stop_timeout
        .as_secs()
        .cast_signed();
    let mut plan = plan(
        unit,
        host,
        config.backup.shared_volumes,
        stop_timeout,
        sizes,
    );
    plan.reading = reading;
    Ok(plan)
}

/// Measures every source of `unit`, each for no longer than `patience`, and leaves out what is too large. It also warms the
/// kernel's caches for the window. What lies on file systems below a source, and so is not read, becomes a gap.
pub async fn survey(mut unit: Unit, rules: &Rules, patience: Duration) -> Result<Surveyed> {
    safety_copies::leave_out(&mut unit, patience).await;
    let limit = BindLimit::new(&unit, rules);
    let turns = Turns::default();
    let mut sizes = BTreeMap::new();
    let mut reading = BTreeMap::new();
    let mut unmeasured = BTreeSet::new();
    let mut tried = BTreeSet::new();
    loop {
        // What a source that was left out had covered is a source now.
        let is_new = |source: &&Source| !tried.contains(&source.key);
        let new: Vec<Source> = unit.sources.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            unmeasured.retain(|key| unit.sources.iter().any(|source| source.key == *key));
            for key in &unmeasured {
                tell_unmeasured(&mut unit, key, patience);
            }
            return Ok(Surveyed {
                unit,
                sizes,
                reading,
            });
        }
        let walks = new
            .iter()
            .map(|source| look(source, limit.of(source), &turns, patience));
        let walks: Vec<Walked> = stream::iter(walks).buffered(AT_ONCE).try_collect().await?;
        for (source, walked) in new.into_iter().zip(walks) {
            tried.insert(source.key.clone());
            reading.insert(source.key.clone(), walked.reading);
            match walked.size {
                Some(size) => {
                    tell_other_file_systems(&mut unit, &limit, &source, &size);
                    if size.holes.filled() > 0 {
                        unit.warnings.push(format!(
                            "{}: its file system compresses or hides blocks, so holes of sparse files are saved as zeros: a restore elsewhere needs {} more",
                            source.key,
                            text::bytes(size.holes.filled())
                        ));
                    }
                    sizes.insert(source.key, size);
                }
                None => {
                    unmeasured.insert(source.key);
                }
            }
        }
        discovery::leave_out_too_large(&mut unit, &limit, &bytes(&sizes), &unmeasured, patience);
    }
}

struct Walked {
    /// `None` when `patience` was not enough.
    size: Option<Size>,
    reading: Reading,
}

async fn look(
    source: &Source,
    limit: Option<u64>,
    turns: &Turns,
    patience: Duration,
) -> Result<Walked> {
    let _patience = heartbeat::allow(patience);
    let path = source.path.clone();
    let disks = aside(move || Ok(disk::rotating(&path)));
    let disks = match tokio::time::timeout(patience, disks).await {
        Ok(disks) => disks?,
        Err(_) => Disks::new(),
    };
    let _turn = turns.take(&disks).await?;
    let walk = discovery::measure_up_to(&source.path, &source.exclude_patterns, limit);
    let size = match tokio::time::timeout(patience, walk).await {
        Ok(size) => Some(size?),
        Err(_) => None,
    };
    let reading = Reading {
        // Of what was not measured nothing is known, and holes may be large.
        is_sparse: size
            .as_ref()
            .is_none_or(|size| size.holes.are_worth_keeping()),
        record: Record::of(size.as_ref().map(|size| size.bytes)),
        disks,
    };
    Ok(Walked { size, reading })
}

fn tell_unmeasured(unit: &mut Unit, key: &SourceKey, patience: Duration) {
    let seconds = patience.as_secs();
    unit.warnings
        .push(format!("{key} could not be measured within {seconds} s"));
    unit.gaps.push(Gap {
        what: format!("other file systems in {key}"),
        reason: GapReason::OtherFileSystem,
        detail: format!(
            "it could not be measured within {seconds} s: a file system (or subvolume) that begins in it is not read, and is not noticed"
        ),
        is_loss: false,
    });
}

fn tell_other_file_systems(unit: &mut Unit, limit: &BindLimit, source: &Source, size: &Size) {
    for path in &size.other_file_systems {
        // As a source of its own it is read.
        if unit.sources.iter().any(|other| other.path == *path) {
            continue;
        }
        let is_told = |gap: &Gap| gap.what.contains(&*path.to_string_lossy());
        if !unit.gaps.iter().any(is_told) {
            let is_excluded = limit.leaves_out(source, path);
            unit.gaps.push(Gap {
                what: format!("`{}` in {}", path.display(), source.key),
                reason: if is_excluded {
                    GapReason::ExcludedByOperator
                } else {
                    GapReason::OtherFileSystem
                },
                detail: "another file system (or subvolume) begins there, and it is not read"
                    .to_owned(),
                is_loss: !is_excluded,
            });
        }
    }
}

fn bytes(sizes: &BTreeMap<SourceKey, Size>) -> BTreeMap<SourceKey, u64> {
    let pairs = sizes.iter().map(|(key, size)| (key.clone(), size.bytes));
    pairs.collect()
}
