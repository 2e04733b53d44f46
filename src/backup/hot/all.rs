//! All sources of a unit: which are read before the stop, and the reading.

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use super::read::{Readied, read};
use super::whole::{by_labels, may_be_warmed};
use crate::backup::plan::UnitPlan;
use crate::backup::run::Run;
use crate::backup::saved::Saved;
use crate::backup::survey::Reading;
use crate::backup::tags::Filing;
use crate::config::ReadMode;

/// Tells those of `sources` that are read whole why; returns what is wrong with what the operator wants.
pub fn choose(run: &Run<'_>, plan: &UnitPlan, sources: &mut [Saved]) -> Vec<String> {
    let backup = &run.config.backup;
    let of_unit = run.config.unit(plan.unit.name.as_str()).read;
    let (of_labels, warnings) = by_labels(&plan.unit.containers);
    let mode = if run.reads_everything {
        ReadMode::Everything
    } else {
        of_unit.or(of_labels).unwrap_or(backup.read)
    };
    let pays = backup.read_pays.unwrap_or_default();
    let nothing = Reading::default();
    for saved in sources {
        let reading = plan.reading.get(&saved.source.key).unwrap_or(&nothing);
        let (source, size) = (&saved.source, saved.size.as_ref());
        let may = may_be_warmed(source, size, reading, &plan.tolerated, (mode, pays));
        saved.read_why.extend(may.err());
    }
    warnings
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
    let nothing = &Reading::default();
    let reads = sources
        .iter_mut()
        .filter(|saved| is_to_be_warmed(saved))
        .map(|saved| async move {
            let reading = plan.reading.get(&saved.source.key).unwrap_or(nothing);
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
