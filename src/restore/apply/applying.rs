//! Carries a plan out: everything is extracted and checked while services run; then comes the window.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use super::extract::Extractor;
use super::outcome;
use super::report::RestoreReport;
use super::space::Floors;
use super::step::Step;
use super::window::Window;
use crate::base::blocking::aside;
use crate::base::memory::Memory;
use crate::drivers::docker::Engine;
use crate::drivers::losses::Losses;
use crate::error::Result;
use crate::points::ahead::Ahead;
use crate::points::feed::{Cancelled, Feed};
use crate::points::recipe::NewVolume;
use crate::points::recipe::Recipe;
use crate::restore::plan::decision::{self, Plan, SourcePlan};
use crate::restore::plan::doors::Doors;
use crate::restore::plan::stages::Planned;
use crate::restore::plan::{files, nesting};
use crate::restore::rebuild::Rebuilding;
use crate::restore::session::Session;
use crate::swap::flush::Flush;
use crate::swap::journal::{Journal, JournalFile, PointName};
use crate::swap::{attributes, staging};

/// A restore at work.
pub struct Applying<'a> {
    pub session: &'a Session<'a>,
    pub plan: Plan,
    pub recipe: Recipe,
    pub window: Window<'a>,
    pub is_up: bool,
    ahead: Arc<Ahead>,
    accepts_losses: bool,
    /// By what they are of.
    pub losses: Vec<(String, Losses)>,
}

/// Carries `planned` out. An error means that every target holds what it held before.
pub async fn apply(
    session: &Session<'_>,
    planned: Planned,
    doors: &Doors,
) -> Result<RestoreReport> {
    let Planned {
        plan,
        ahead,
        recipe,
    } = planned;
    let mut applying = Applying {
        window: Window::new(
            session.ground.cx,
            &session.ground.config,
            &session.ground.engine,
            plan.unit.clone(),
            plan.restore_id,
        ),
        session,
        plan,
        recipe,
        is_up: false,
        ahead: Arc::new(ahead),
        accepts_losses: doors.accept_lost_attributes,
        losses: Vec::new(),
    };
    if applying.plan.is_empty() {
        return Ok(outcome::report(applying, Vec::new()));
    }
    applying.rebuilding().agree().await?;
    let mut file = applying.open_journal().await?;
    let result = applying.bring_in(&mut file).await;
    match result {
        Ok(kept) => {
            applying.is_up = applying.rebuilding().bring_up().await;
            Ok(outcome::report(applying, kept))
        }
        Err(error) => {
            let what = applying.plan.not_restored();
            Err(applying.window.give_up(&file, error, what).await)
        }
    }
}

impl<'a> Applying<'a> {
    fn rebuilding(&mut self) -> Rebuilding<'_, 'a> {
        Rebuilding {
            ground: &self.session.ground,
            plan: &mut self.plan,
            recipe: &self.recipe,
            window: &mut self.window,
            is_up: false,
        }
    }

    async fn open_journal(&mut self) -> Result<JournalFile> {
        self.window.enter(Step::Journal).await;
        let plan = &self.plan;
        let journal = Journal {
            swaps: plan.swaps(),
            new_volumes: plan.new_volumes(),
            new_folders: plan.new_folders(),
            point: Some(PointName {
                backup_id: plan.backup_id.clone(),
                identity: plan.identity.clone(),
            }),
            before: plan.rebuild.before.clone(),
            ..Journal::new(
                plan.restore_id,
                plan.unit.clone(),
                self.session.ground.engine.socket().to_owned(),
            )
        };
        JournalFile::create(&self.session.ground.cx.paths.restore_journals(), journal)
            .map_err(|error| outcome::not_begun(plan.not_restored(), error).into())
    }

    /// Returns where what was there before is, one for each swap.
    async fn bring_in(&mut self, file: &mut JournalFile) -> Result<Vec<Option<PathBuf>>> {
        self.create().await?;
        file.look_at_numbers().await?;
        self.rebuilding().make_networks(file).await?;
        let flush = Flush::of(&self.plan.swaps())?;
        let site = &self.session.ground.repository.site;
        site.explained(self.extract(&flush).await).await?;
        self.window.enter(Step::Sync).await;
        flush.now().await?;
        self.window.refuse_when_asked_to_end()?;
        let record = &self.recipe.record;
        let users = self.session.ground.users_now(&self.plan, record);
        let shutdown = &self.session.ground.cx.shutdown;
        let (users, differences) = shutdown.cut("the restore", users).await?;
        if differences != self.plan.rebuild.differences {
            self.plan.rebuild.differences = differences;
            self.plan.next_steps = self.plan.rebuild.next_steps(record);
        }
        let swapped = decision::swapped(&self.plan.sources);
        self.window.pass(file, &swapped, users).await
    }

    /// Makes directories, volumes and the staging folders. From here on the journal knows what to remove.
    async fn create(&mut self) -> Result<()> {
        self.window.enter(Step::Create).await;
        let engine = &self.session.ground.engine;
        for source in &self.plan.sources {
            if let Some(new) = &source.new_volume {
                let making = make_volume(engine, new, source);
                let shutdown = &self.session.ground.cx.shutdown;
                shutdown.cut_soon("the restore", making).await?;
            }
        }
        for folder in self.plan.new_folders() {
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    let what = format!("cannot create directory `{}`", folder.display());
                    return Err(anyhow::Error::from(error).context(what));
                }
                Ok(()) => self.as_it_was(&folder)?,
                Err(_) => {}
            }
        }
        self.plan.swaps().iter().try_for_each(staging::make)?;
        let inside = self.plan.sources.iter();
        let mut inside = inside.filter(|source| source.inside.is_some());
        inside.try_for_each(|source| staging::make_private(&source.swap.staging))
    }

    /// Gives a directory that was just made its owner and mode, if the recipe has them.
    fn as_it_was(&self, folder: &Path) -> Result<()> {
        let files = self.plan.files.iter();
        let files = files.flat_map(|file| &file.new_attributes);
        let sources = self.plan.sources.iter();
        let sources = sources.flat_map(|source| &source.new_attributes);
        let mut known = files.chain(sources);
        match known.find(|(path, _)| path == folder) {
            Some((_, attributes)) => attributes::give(folder, attributes).with_context(|| {
                format!("`{}` cannot be given its owner and mode", folder.display())
            }),
            None => Ok(()),
        }
    }

    /// As many sources at once as there are workers; the first failure ends the others.
    async fn extract(&mut self, flush: &Flush) -> Result<()> {
        self.window.enter(Step::Extract).await;
        let session = self.session;
        let (cancel, is_cancelled) = watch::channel(false);
        let slots = Arc::new(Semaphore::new(
            session.ground.config.workers(Memory::of_this_host()),
        ));
        let extractor = Extractor {
            feed: Feed {
                kopia: session.ground.repository.kopia.clone(),
                stall: session.ground.config.backup.stall_timeout,
                shutdown: session.ground.cx.shutdown.clone(),
                is_cancelled,
                ahead: Arc::clone(&self.ahead),
                what: "restore",
            },
            tar: session.tar.clone(),
            accepts_losses: self.accepts_losses,
            slots: Arc::clone(&slots),
            cancel: cancel.clone(),
        };
        let reporter = &self.window.reporter;
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
                let result = result.map(|lost| (source, lost));
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
        let mut extractions = pin!(join_all(extractions));
        let floors = Floors::of(&self.plan.space);
        let (results, failed_disk) = tokio::select! {
            results = &mut extractions => (results, None),
            shortage = floors.run_out() => {
                cancel.send_replace(true);
                (extractions.await, Some(shortage))
            }
            failed = flush.meanwhile() => {
                cancel.send_replace(true);
                (extractions.await, Some(failed))
            }
        };
        // What filled the disk between two looks failed by it.
        let is_real = |result: &Result<_>| matches!(result, Err(error) if !error.is::<Cancelled>());
        let failed_disk = match failed_disk {
            None if results.iter().any(is_real) => floors.look().await,
            failed_disk => failed_disk,
        };
        if let Some(error) = failed_disk {
            return Err(error);
        }
        let mut failures: Vec<anyhow::Error> = Vec::new();
        for result in results {
            match result {
                Ok((_, lost)) if lost.count == 0 => {}
                Ok((source, lost)) => self.losses.push((source.swap.what.clone(), lost)),
                Err(error) => failures.push(error),
            }
        }
        let (cancelled, mut real): (Vec<_>, Vec<_>) = failures
            .into_iter()
            .partition(|error: &anyhow::Error| error.is::<Cancelled>());
        real.extend(cancelled);
        if let Some(first) = real.into_iter().next() {
            return Err(first);
        }
        let sources = self.plan.sources.clone();
        let joined = aside(move || nesting::join(&sources)).await?;
        self.window.warnings.extend(joined);
        let files = self.plan.files.clone();
        aside(move || files.iter().try_for_each(files::stage)).await
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
