//! All sources of a unit: which are read before the stop, and the reading.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::read::{Readied, read};
use super::whole::{by_labels, expected, may_be_warmed};
use crate::backup::plan::UnitPlan;
use crate::backup::run::Run;
use crate::backup::saved::Saved;
use crate::backup::tags::Filing;
use crate::config::{Config, ReadMode};
use crate::model::Source;
use crate::reports::history::History;

/// Tells those of `sources` that are read whole why; returns what is wrong with what the operator wants.
pub async fn choose(run: &Run<'_>, plan: &UnitPlan, sources: &mut [Saved]) -> Vec<String> {
    let chosen = Choice::of(run.config, plan, run.reads_everything);
    let history = run.history().await;
    for saved in sources {
        let why = chosen.why_whole(plan, &saved.source, history);
        saved.read_why.extend(why);
    }
    chosen.warnings
}

/// What the operator wants to be read of a unit.
pub struct Choice {
    mode: ReadMode,
    pays: Duration,
    /// What is wrong with it.
    pub warnings: Vec<String>,
}

impl Choice {
    pub fn of(config: &Config, plan: &UnitPlan, reads_everything: bool) -> Self {
        let backup = &config.backup;
        let of_unit = config.unit(plan.unit.name.as_str()).read;
        let (of_labels, warnings) = by_labels(&plan.unit.containers);
        Self {
            mode: if reads_everything {
                ReadMode::Everything
            } else {
                of_unit.or(of_labels).unwrap_or(backup.read)
            },
            pays: backup.read_pays.unwrap_or_default(),
            warnings,
        }
    }

    /// Why `source` is read whole, if it is.
    pub fn why_whole(&self, plan: &UnitPlan, source: &Source, history: &History) -> Option<String> {
        let rate = history.rate(&plan.unit.name, &source.key);
        let size = plan.sizes.get(&source.key);
        let time = size.map(|size| expected(size, &plan.reading_of(&source.key), rate));
        may_be_warmed(source, time, &plan.tolerated, (self.mode, self.pays)).err()
    }
}

/// Whether [`choose`] found no reason against it.
pub fn is_to_be_warmed(saved: &Saved) -> bool {
    saved.read_why.is_empty()
}

/// Reads those that are to be, each as far as it is not proven, as many at once as there are workers. Returns why some are read whole
/// although they should not be. A signal ends it.
pub async fn warm(
    run: &Run<'_>,
    filing: &Filing,
    plan: &UnitPlan,
    sources: &mut [Saved],
) -> Vec<String> {
    // Who breaks a lease of ours sends it, and it would end us.
    let _ignored = match signal(SignalKind::io()) {
        Ok(signal) => signal,
        Err(error) => return vec![format!("everything is read in the window: {error}")],
    };
    let slots = &Semaphore::new(run.workers);
    let reads = sources
        .iter_mut()
        .filter(|saved| is_to_be_warmed(saved))
        .map(|saved| async move {
            let reading = &plan.reading_of(&saved.source.key);
            let read = async {
                let _turn = run.turns.take(&reading.disks).await?;
                let _slot = slots.acquire().await?;
                read(run, filing, plan, &saved.source, reading).await
            };
            match read.await {
                Ok(Readied::Warm(warm)) => {
                    saved.read_why.extend(warm.notes.iter().cloned());
                    saved.warm = Some(*warm);
                    None
                }
                Ok(Readied::Whole(why)) => {
                    saved.read_why.push(why);
                    None
                }
                Err(error) => {
                    let key = &saved.source.key;
                    let warning = format!("{key} is read whole in the window: {error:#}");
                    saved.read_why.push(format!("{error:#}"));
                    Some(warning)
                }
            }
        });
    join_all(reads).await.into_iter().flatten().collect()
}
