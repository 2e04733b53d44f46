//! The window of a restore: stop, swap all, start. Everything is extracted and on the disk by now.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use futures_util::FutureExt as _;

use super::apply::Applying;
use super::journal::{JournalFile, Phase};
use super::plan::SourcePlan;
use super::step::Step;
use super::swap;
use crate::error::Result;
use crate::model::Source;
use crate::quiesce::{self, Quiesced, RecordFile, cold};

impl Applying<'_> {
    /// Stops, swaps, starts. The containers are up again when this returns, whatever it returns.
    pub(super) async fn window(&mut self, file: &mut JournalFile) -> Result<Vec<Option<PathBuf>>> {
        let session = self.session;
        let users = session.users_now(&self.plan, &self.recipe.record).await?;
        self.plan.stops = users.entries;
        self.plan.tolerated = users.tolerated;
        if self.plan.stops.is_empty() {
            return self.swap(file, Ok(()), None).await;
        }
        self.enter(Step::Record).await;
        let record = RecordFile::create(
            &session.cx.paths.stop_records(),
            &self.plan.restore_id.to_string(),
            &self.plan.unit,
            session.engine.socket(),
            session.config.backup.start_timeout.as_secs(),
            self.plan.stops.clone(),
        )?;
        self.enter(Step::Stop).await;
        let (quiesced, stopped) =
            quiesce::stop_all(&session.engine, record, &session.cx.shutdown).await;
        // A bug of ours must not leave containers down: a panic is held until they are up.
        let result = AssertUnwindSafe(self.swap(file, stopped, Some(&quiesced)))
            .catch_unwind()
            .await;
        if result.is_err() && file.journal.phase == Phase::Swapping {
            // A bug between two swaps: the unit must not start half old and half new.
            let _ = swap::exchange_all(&file.journal.swaps).await;
        }
        if let Ok(Err(error)) = &result
            && error.is::<swap::NotTakenBack>()
        {
            // Half old and half new: the record stays for `recover`, which starts them when that is mended.
            self.downtime_seconds = quiesced.seconds();
            let names = quiesced.entries().iter().map(|entry| entry.name.clone());
            self.still_stopped = names.map(|name| (name, String::new())).collect();
        } else {
            self.enter(Step::Start).await;
            let started = quiesced.start(&session.engine).await;
            self.downtime_seconds = started.downtime_seconds;
            self.still_stopped = started.still_stopped;
            self.warnings.extend(started.warnings);
        }
        self.timeline.end();
        let kept = match result {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.enter(Step::Settle).await;
        let patience = session.config.backup.start_timeout;
        let unhealthy = quiesce::start::settle(&session.engine, &self.plan.stops, patience).await;
        self.errors.extend(unhealthy);
        Ok(kept)
    }

    /// Everything that happens while services are down. After the decision no signal is heard: what is left is instant.
    async fn swap(
        &mut self,
        file: &mut JournalFile,
        stopped: Result<()>,
        quiesced: Option<&Quiesced>,
    ) -> Result<Vec<Option<PathBuf>>> {
        if stopped.is_err() {
            self.refuse_when_asked_to_end()?;
        }
        stopped?;
        self.enter(Step::ProveCold).await;
        let entries = quiesced.map_or(&[][..], Quiesced::entries);
        let sources = self.plan.sources.iter().filter(|source| !source.is_apart);
        let sources: Vec<Source> = sources.map(as_source).collect();
        cold::prove(
            &self.session.engine,
            entries,
            &sources,
            &self.plan.tolerated,
        )
        .await?;
        self.refuse_when_asked_to_end()?;
        self.enter(Step::Decide).await;
        file.decide()?;
        self.enter(Step::Swap).await;
        let swaps = &file.journal.swaps;
        if let Err(error) = swap::exchange_all(swaps).await {
            if !error.is::<swap::NotTakenBack>() {
                file.retreat()?;
            }
            return Err(error);
        }
        self.enter(Step::Keep).await;
        let mut kept = Vec::new();
        for swap in &file.journal.swaps {
            kept.push(match swap::keep(swap) {
                Ok(kept) => kept,
                Err(error) => {
                    self.warnings.push(format!(
                        "what {} held before is in `{}`: {error:#}",
                        swap.what,
                        swap.staging.display()
                    ));
                    Some(swap.staging.clone())
                }
            });
        }
        self.enter(Step::Forget).await;
        if let Err(error) = file.clear() {
            self.warnings.push(format!("{error:#}"));
        }
        Ok(kept)
    }
}

/// As the proof of cold wants it.
fn as_source(source: &SourcePlan) -> Source {
    Source {
        key: source.key.clone(),
        path: source.target.clone(),
        is_file: source.is_file,
        destinations: Vec::new(),
        exclude_patterns: Vec::new(),
        is_anonymous: false,
        writers: Vec::new(),
        covers: Vec::new(),
    }
}
