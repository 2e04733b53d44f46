//! Looks at one unit as it is now, and plans it. Asks the disk, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::in_memory;
use super::own;
use super::plan::{UnitPlan, plan};
use crate::config::Config;
use crate::discovery::{self, Discovery, Rules, Size};
use crate::error::Result;
use crate::model::source::{Gap, GapReason};
use crate::model::{Source, SourceKey, Unit};
use crate::pulse;

/// A unit whose sources are known.
pub struct Surveyed {
    pub unit: Unit,
    /// One that could not be measured in time is missing.
    pub sizes: BTreeMap<SourceKey, Size>,
}

/// What a run would do to `unit`, which is on `host`.
pub async fn plan_unit(
    unit: Unit,
    host: &Discovery,
    config: &Config,
    rules: &Rules,
) -> Result<UnitPlan> {
    let Surveyed { mut unit, sizes } = survey(unit, rules, config.backup.stall_timeout).await?;
    in_memory::name_sizes(&mut unit).await;
    let stop_timeout = config
        .unit(unit.name.as_str())
        .stop_timeout
        .as_secs()
        .cast_signed();
    Ok(plan(
        unit,
        host,
        config.backup.shared_volumes,
        stop_timeout,
        sizes,
    ))
}

/// Measures every source of `unit`, each for no longer than `patience`, and leaves out what is too large. It also warms the
/// kernel's caches for the window. What lies on file systems below a source, and so isn't read, becomes a gap.
pub async fn survey(mut unit: Unit, rules: &Rules, patience: Duration) -> Result<Surveyed> {
    own::leave_out(&mut unit, patience).await;
    let mut sizes = BTreeMap::new();
    let mut tried = BTreeSet::new();
    loop {
        // What a source that was left out had covered is a source now.
        let is_new = |source: &&Source| !tried.contains(&source.key);
        let new: Vec<Source> = unit.sources.iter().filter(is_new).cloned().collect();
        if new.is_empty() {
            return Ok(Surveyed { unit, sizes });
        }
        for source in new {
            tried.insert(source.key.clone());
            if let Some(size) = measure(&mut unit, &source, patience).await? {
                sizes.insert(source.key, size);
            }
        }
        discovery::leave_out_too_large(&mut unit, rules, &bytes(&sizes));
    }
}

async fn measure(unit: &mut Unit, source: &Source, patience: Duration) -> Result<Option<Size>> {
    let _patience = pulse::allow(patience);
    let walk = discovery::measure(&source.path, &source.exclude_patterns);
    let Ok(size) = tokio::time::timeout(patience, walk).await else {
        unit.warnings.push(format!(
            "{} could not be measured within {} s",
            source.key,
            patience.as_secs()
        ));
        return Ok(None);
    };
    let size = size?;
    for path in &size.other_file_systems {
        let is_told = |gap: &Gap| gap.what.contains(&*path.to_string_lossy());
        if !unit.gaps.iter().any(is_told) {
            unit.gaps.push(Gap {
                what: format!("`{}` in {}", path.display(), source.key),
                reason: GapReason::OtherFileSystem,
                detail: "another file system (or subvolume) begins there, and it is not read"
                    .to_owned(),
                is_loss: true,
            });
        }
    }
    Ok(Some(size))
}

fn bytes(sizes: &BTreeMap<SourceKey, Size>) -> BTreeMap<SourceKey, u64> {
    let pairs = sizes.iter().map(|(key, size)| (key.clone(), size.bytes));
    pairs.collect()
}
