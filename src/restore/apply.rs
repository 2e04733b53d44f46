//! Carries a plan out: everything is extracted and checked while services run; then comes the window.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use super::aside::aside;
use super::extract::Extractor;
use super::feed::{Cancelled, Feed};
use super::journal::JournalFile;
use super::plan::{NewVolume, Plan, SourcePlan};
use super::recipe::Recipe;
use super::report::RestoreReport;
use super::reporter::Reporter;
use super::session::{Planned, Session};
use super::step::{Step, Timeline};
use super::{files, staging};
use crate::config::Config;
use crate::docker::Engine;
use crate::error::{Failure, Result};

/// A restore at work: what is known of it grows from step to step.
pub(super) struct Applying<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) plan: Plan,
    pub(super) recipe: Recipe,
    pub(super) reporter: Reporter,
    pub(super) timeline: Timeline,
    pub(super) downtime_seconds: f64,
    pub(super) still_stopped: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
    pub(super) errors: Vec<String>,
    pub(super) is_up: bool,
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
        is_up: false,
    };
    if applying.plan.is_empty() {
        return Ok(applying.into_report(Vec::new()));
    }
    let mut file = applying.open_journal().await?;
    let result = applying.bring_in(&mut file).await;
    match result {
        Ok(kept) => {
            applying.bring_up().await;
            Ok(applying.into_report(kept))
        }
        Err(error) => Err(applying.give_up(&file, error).await),
    }
}

impl Applying<'_> {
    pub(super) async fn enter(&mut self, step: Step) {
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
        self.make_networks(file).await?;
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
        let slots = Arc::new(Semaphore::new(workers(&session.config)));
        let extractor = Extractor {
            feed: Feed {
                kopia: session.repository.kopia.clone(),
                stall: session.config.backup.stall_timeout,
                shutdown: session.cx.shutdown.clone(),
                is_cancelled,
                what: "restore",
            },
            tar: session.tar.clone(),
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

    pub(super) fn refuse_when_asked_to_end(&self) -> Result<()> {
        let shutdown = &self.session.cx.shutdown;
        if shutdown.is_asked() {
            return Err(Failure::new(shutdown.exit(), "a signal ended the restore").into());
        }
        Ok(())
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

/// How many sources are read back at once.
pub fn workers(config: &Config) -> usize {
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing()
            .with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = config.backup.parallel_workers;
    workers.resolve(system.total_memory(), cpus)
}
