//! Reads the sources of a unit while it is down, as many at once as there are workers.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::memory::{Past, left_out};
use super::plan::UnitPlan;
use super::read::{Limits, read};
use super::run::Run;
use super::saved::{Saved, WindowStream};
use super::store::{Opened, Storing};
use super::tags::Filing;
use crate::changed::Torn;
use crate::drivers::kopia::NewSnapshot;
use crate::error::{Exit, Failure, Result};
use crate::model::UnitName;
use crate::model::source::GapReason;

use super::survey::Reading;

pub struct Reads<'a> {
    run: &'a Run<'a>,
    unit: &'a UnitName,
    past: &'a Past,
    slots: Semaphore,
    limits: Limits,
}

/// Returns when the last tar has ended. One result for each source; what went wrong is in the source.
pub async fn read_all(
    run: &Run<'_>,
    plan: &UnitPlan,
    filing: &Filing,
    sources: &mut [Saved],
    opened: Vec<Opened>,
) -> Vec<Vec<Storing>> {
    let backup = &run.config.backup;
    let reads = &Reads {
        run,
        unit: &plan.unit.name,
        past: &plan.past,
        slots: Semaphore::new(run.workers),
        limits: Limits {
            task: backup.task_timeout,
            stall: backup.stall_timeout,
        },
    };
    let mut opened = opened
        .into_iter()
        .map(Some)
        .chain(std::iter::repeat_with(|| None));
    let all = sources.iter_mut().map(|saved| {
        let opened = opened.next().flatten();
        let new = filing.stream(&saved.source, saved.estimated_bytes);
        let reading = plan.reading_of(&saved.source.key);
        async move {
            let result = reads.one(saved, &reading, new, opened).await;
            let result = result.map_err(|error| saved.error = Some(error));
            result.unwrap_or_default()
        }
    });
    join_all(all).await
}

impl Reads<'_> {
    async fn one(
        &self,
        saved: &mut Saved,
        reading: &Reading,
        new: NewSnapshot,
        mut opened: Option<Opened>,
    ) -> Result<Vec<Storing>> {
        let run = self.run;
        // In this order: who has a kopia that waits for it comes first in each queue, and who has a turn has all
        // that it needs but a slot, which ends by itself.
        let mut place = Some(Arc::clone(&run.places).acquire_owned().await?);
        let _turn = run.turns.take(&reading.disks).await?;
        let _slot = self.slots.acquire().await?;
        let since = Instant::now();
        loop {
            let mut storing = Vec::new();
            let mut result = Ok(());
            for reader in saved.readers(run, reading).await? {
                let place = match place.take() {
                    Some(place) => place,
                    None => Arc::clone(&run.places).acquire_owned().await?,
                };
                let spool = Arc::new(run.spool()?);
                let (new, opened) = (new.clone(), opened.take());
                let mut stream = run.store.start(new, opened, Arc::clone(&spool), place);
                stream.begin();
                storing.push(stream);
                let (key, bytes) = (&saved.source.key, saved.estimated_bytes);
                run.reporter
                    .track(key, bytes, (spool.filled(), spool.taken()));
                match read(reader, &spool, self.limits, run.shutdown).await {
                    Ok(read) => saved.streams.push(WindowStream::new(read)),
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            saved.read_seconds = since.elapsed().as_secs_f64();
            let result = match result {
                Ok(()) => self.not_vanished(saved).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    let streams = storing.iter_mut().zip(&saved.streams);
                    streams.for_each(|(storing, stream)| storing.commit(stream.read.bytes));
                }
                Err(error) => {
                    storing.iter_mut().for_each(Storing::reject);
                    if error.is::<Torn>() {
                        // They have failed, and the reading has told why.
                        join_all(storing.into_iter().map(Storing::finish)).await;
                        saved.read_whole(format!("{error:#}"));
                        continue;
                    }
                    saved.fail(error);
                }
            }
            return Ok(storing);
        }
    }

    /// An error when its data went away after it was counted. With the operator's agreement it counts as it is.
    async fn not_vanished(&self, saved: &mut Saved) -> Result<()> {
        if saved.kept_bytes > 0 || saved.streams.is_empty() || !saved.clones.is_empty() {
            return Ok(());
        }
        let read = saved.window_bytes();
        let vanished = self.past.vanished(&saved.source, saved.size.as_ref(), read);
        let Some(why) = vanished.await else {
            return Ok(());
        };
        let what = saved.source.key.to_string();
        if self.past.is_agreed(&what) {
            saved.vanished = Some(why);
            return Ok(());
        }
        Err(Failure::new(Exit::UnitsFailed, why)
            .hint(left_out::ways_out(self.unit, &what, GapReason::ReadEmpty))
            .into())
    }
}
