//! Carries a plan out: everything is extracted and checked while services run; the WINDOW is stop, swap all, start.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use super::aside::aside;
use super::extract::{Cancelled, Extractor};
use super::files;
use super::journal::{JournalFile, Phase};
use super::plan::{NewVolume, Plan, SourcePlan};
use super::recipe::Recipe;
use super::replay::undo;
use super::report::{RestoreReport, RestoredFile, RestoredSource};
use super::reporter::Reporter;
use super::session::{Planned, Session};
use super::step::{Step, Timeline};
use super::{staging, swap};
use crate::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::model::Source;
use crate::quiesce::{self, Quiesced, RecordFile, cold};

struct Applying<'a> {
    session: &'a Session<'a>,
    plan: Plan,
    recipe: Recipe,
    reporter: Reporter,
    timeline: Timeline,
    downtime_seconds: f64,
    still_stopped: Vec<(String, String)>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

/// Carries `planned` out. An error means that every target holds what it held before.
pub async fn apply(session: &Session<'_>, planned: Planned) -> Result<RestoreReport> {
    let mut applying = Applying {
        reporter: Reporter::new(&session.cx.ui),
        session,
        plan: planned.plan,
        recipe: planned.recipe,
        timeline: Timeline::default(),
        downtime_seconds: 0.0,
        still_stopped: Vec::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
    };
    if applying.plan.is_empty() {
        return Ok(applying.into_report(Vec::new()));
    }
    let mut file = applying.open_journal().await?;
    let result = applying.bring_in(&mut file).await;
    match result {
        Ok(kept) => Ok(applying.into_report(kept)),
        Err(error) => Err(applying.give_up(&file, error).await),
    }
}

impl Applying<'_> {
    async fn enter(&mut self, step: Step) {
        self.reporter.step(&self.plan.unit, step);
        self.timeline.enter(step).await;
    }

    async fn open_journal(&mut self) -> Result<JournalFile> {
        self.enter(Step::Journal).await;
        JournalFile::create(
            &self.session.cx.paths.restore_journals(),
            self.plan.restore_id,
            &self.plan.unit,
            self.session.engine.socket(),
            self.plan.swaps(),
            self.plan.new_volumes(),
            self.plan.new_folders(),
        )
    }

    /// Returns where what was there before is, one for each swap.
    async fn bring_in(&mut self, file: &mut JournalFile) -> Result<Vec<Option<PathBuf>>> {
        self.create().await?;
        self.extract().await?;
        self.enter(Step::Sync).await;
        let swaps = self.plan.swaps();
        aside(move || swaps.iter().try_for_each(staging::sync)).await?;
        self.refuse_when_asked_to_end()?;
        self.window(file).await
    }

    /// Makes folders, volumes and the staging folders. From here on the journal knows what to remove.
    async fn create(&mut self) -> Result<()> {
        self.enter(Step::Create).await;
        let engine = &self.session.engine;
        for source in &self.plan.sources {
            if let Some(new) = &source.new_volume {
                make_volume(engine, new, source).await?;
            }
        }
        for folder in self.plan.new_folders() {
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    let what = format!("the folder `{}` can't be made", folder.display());
                    return Err(anyhow::Error::from(error).context(what));
                }
                _ => {}
            }
        }
        self.plan.swaps().iter().try_for_each(staging::make)
    }

    /// As many sources at once as there are workers; the first failure ends the others.
    async fn extract(&mut self) -> Result<()> {
        self.enter(Step::Extract).await;
        let session = self.session;
        let (cancel, is_cancelled) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(workers(session)));
        let extractor = Extractor {
            kopia: session.repository.kopia.clone(),
            tar: session.tar.clone(),
            stall: session.config.backup.stall_timeout,
            shutdown: session.cx.shutdown.clone(),
            is_cancelled,
        };
        let reporter = &self.reporter;
        let extractions = self.plan.sources.iter().map(|source| {
            let (extractor, slots, cancel) = (&extractor, Arc::clone(&slots), &cancel);
            async move {
                let _slot = slots.acquire_owned().await?;
                let moved = reporter.track(source);
                let result = extractor.extract(source, &moved).await;
                reporter.finished(source);
                if result.is_err() {
                    cancel.send_replace(true);
                }
                result.map_err(|error| {
                    let what = format!("{} could not be read back", source.key);
                    if error.is::<Cancelled>() {
                        error
                    } else {
                        error.context(what)
                    }
                })
            }
        });
        let failures: Vec<anyhow::Error> = join_all(extractions)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        let (cancelled, mut real): (Vec<_>, Vec<_>) = failures
            .into_iter()
            .partition(|error: &anyhow::Error| error.is::<Cancelled>());
        real.extend(cancelled);
        if let Some(first) = real.into_iter().next() {
            return Err(first);
        }
        let files = self.plan.files.clone();
        aside(move || files.iter().try_for_each(files::stage)).await
    }

    /// Stops, swaps, starts. The containers are up again when this returns, whatever it returns.
    async fn window(&mut self, file: &mut JournalFile) -> Result<Vec<Option<PathBuf>>> {
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
        let sources: Vec<Source> = self.plan.sources.iter().map(as_source).collect();
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

    fn refuse_when_asked_to_end(&self) -> Result<()> {
        let shutdown = &self.session.cx.shutdown;
        if shutdown.is_asked() {
            return Err(Failure::new(shutdown.exit(), "a signal ended the restore").into());
        }
        Ok(())
    }

    /// Removes what was made, and says how things are.
    async fn give_up(mut self, file: &JournalFile, error: anyhow::Error) -> anyhow::Error {
        let is_half_way = error.is::<swap::NotTakenBack>();
        let mut exit = crate::error::exit_of(&error);
        if exit == Exit::Unexpected {
            exit = Exit::UnitsFailed;
        }
        if !is_half_way && let Err(left) = undo(file).await {
            self.warnings.push(format!(
                "`kopi-docka recover` removes what is left: {left:#}"
            ));
        }
        for warning in &self.warnings {
            self.reporter.warn(warning);
        }
        if !self.still_stopped.is_empty() {
            exit = Exit::StillStopped;
        }
        let mut failure = Failure::new(exit, format!("unit `{}` was not restored", self.plan.unit));
        if is_half_way {
            failure = failure.hint("mend what the error names, then run `kopi-docka recover`");
        } else {
            failure = failure.note("everything that was to be replaced is as it was");
        }
        failure = if self.still_stopped.is_empty() {
            failure.note(format!(
                "every container of `{}` that ran is running",
                self.plan.unit
            ))
        } else {
            let names: Vec<&str> = self
                .still_stopped
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            failure
                .note(format!("still stopped: {}", names.join(", ")))
                .hint("see `docker logs` of them, mend it, then run `kopi-docka recover`")
        };
        failure.caused_by(error).into()
    }

    fn into_report(self, kept: Vec<Option<PathBuf>>) -> RestoreReport {
        let shutdown = &self.session.cx.shutdown;
        let mut errors = self.errors;
        for (name, reason) in &self.still_stopped {
            errors.push(format!("container `{name}` is still stopped: {reason}"));
        }
        let exit_code = if !self.still_stopped.is_empty() {
            Exit::StillStopped.code()
        } else if shutdown.is_asked() {
            shutdown.exit().code()
        } else if !errors.is_empty() {
            Exit::UnitsFailed.code()
        } else {
            0
        };
        // In the order of `Plan::swaps`: sources, then the files that are swapped.
        let mut kept = kept.into_iter();
        let sources = self.plan.sources.into_iter().map(|source| RestoredSource {
            safety_copy: kept.next().flatten(),
            key: source.key,
            target: source.target,
            bytes: source.bytes,
        });
        let sources: Vec<RestoredSource> = sources.collect();
        let files = self.plan.files.into_iter().map(|file| RestoredFile {
            safety_copy: file.swap.as_ref().and_then(|_| kept.next().flatten()),
            path: file.path,
            action: file.action,
        });
        RestoreReport {
            restore_id: self.plan.restore_id,
            unit: self.plan.unit,
            backup_id: self.plan.backup_id,
            identity: self.plan.identity,
            is_restored: true,
            sources,
            files: files.collect(),
            downtime_seconds: self.downtime_seconds,
            steps: self.timeline.into_steps(),
            warnings: self.warnings,
            errors,
            still_stopped: self
                .still_stopped
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            next_steps: self.plan.next_steps,
            exit_code,
        }
    }
}

async fn make_volume(engine: &Engine, new: &NewVolume, source: &SourcePlan) -> Result<()> {
    let (options, labels) = (new.saved.options.as_ref(), new.saved.labels.as_ref());
    let volume = engine
        .create_volume(&new.name, &new.saved.driver, options, labels)
        .await?;
    let is_elsewhere = source.target.ends_with("_data")
        && std::fs::canonicalize(&volume.mountpoint).ok().as_deref() != Some(&*source.target);
    if is_elsewhere {
        anyhow::bail!(
            "Docker made volume `{}` at `{}`, where it was not expected",
            new.name,
            volume.mountpoint
        );
    }
    Ok(())
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

fn workers(session: &Session<'_>) -> usize {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing()
            .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = session.config.backup.parallel_workers;
    workers.resolve(system.total_memory(), cpus)
}
