//! The window of a restore, and of taking one back: stop, swap all, start. Everything is extracted and on the disk by now.

use std::path::PathBuf;
use std::thread;

use super::reporter::Reporter;
use super::step::{Step, Timeline};
use crate::config::Config;
use crate::context::Context;
use crate::drivers::docker::Engine;
use crate::error::{Failure, Result};
use crate::model::{BackupId, UnitName};
use crate::quiesce::{self, Entry, Leave, Place, RecordFile, WhileDown, cold, replay};
use crate::recovery::Late;
use crate::swap::exchange;
use crate::swap::held;
use crate::swap::journal::{JournalFile, Phase};
use crate::swap::users::Users;

/// What is known grows from step to step.
pub struct Window<'a> {
    pub cx: &'a Context,
    pub config: &'a Config,
    pub engine: &'a Engine,
    pub unit: UnitName,
    pub id: BackupId,
    pub reporter: Reporter,
    pub timeline: Timeline,
    pub downtime_seconds: f64,
    pub still_stopped: Vec<(String, String)>,
    /// Names of those that are left down on purpose.
    pub held: Vec<String>,
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
}

/// What the window of a restore is for.
struct Swapping<'w, 'a> {
    window: &'w mut Window<'a>,
    file: &'w mut JournalFile,
    swapped: &'w [Place],
    tolerated: &'w [String],
    /// Ids of those that are not started again, once that is known.
    held: Vec<String>,
}

impl WhileDown for Swapping<'_, '_> {
    type Done = Vec<Option<PathBuf>>;

    async fn work(&mut self, down: quiesce::window::Down<'_>) -> Result<Self::Done> {
        self.window
            .swap(
                self.file,
                down.stopped,
                down.entries,
                self.swapped,
                self.tolerated,
            )
            .await
    }

    async fn leave(&mut self, result: &thread::Result<Result<Self::Done>>) -> Leave {
        let is_swapped = match result {
            Ok(result) => result.is_ok(),
            // A bug between two swaps: the unit must not start half old and half new.
            Err(_) if self.file.journal.phase == Phase::Swapping => {
                exchange::exchange_all(&self.file.journal.swaps)
                    .await
                    .is_ok()
            }
            Err(_) => false,
        };
        if is_swapped {
            self.held = self.file.journal.held_ids();
        }
        if let Ok(Err(error)) = result
            && error.is::<exchange::NotTakenBack>()
        {
            // Half old and half new: `recover` starts them when that is fixed.
            return Leave::Stopped;
        }
        self.window.enter(Step::Start).await;
        Leave::StartedBut(self.held.clone())
    }
}

impl<'a> Window<'a> {
    /// `id` is the restore's own.
    pub fn new(
        cx: &'a Context,
        config: &'a Config,
        engine: &'a Engine,
        unit: UnitName,
        id: BackupId,
    ) -> Self {
        Self {
            reporter: Reporter::new(&cx.ui),
            cx,
            config,
            engine,
            unit,
            id,
            timeline: Timeline::default(),
            downtime_seconds: 0.0,
            still_stopped: Vec::new(),
            held: Vec::new(),
            warnings: Vec::new(),
            errors: Vec::new(),
        }
    }

    pub async fn enter(&mut self, step: Step) {
        self.reporter.step(&self.unit, step);
        self.timeline.enter(step).await;
    }

    pub fn refuse_when_asked_to_end(&self) -> Result<()> {
        let shutdown = &self.cx.shutdown;
        if shutdown.is_asked() {
            return Err(Failure::new(shutdown.exit(), "a signal ended the restore").into());
        }
        Ok(())
    }

    /// Stops, swaps, starts. The containers are up again when this returns, whatever it returns; else where what was
    /// there before is, one for each swap.
    pub async fn pass(
        &mut self,
        file: &mut JournalFile,
        swapped: &[Place],
        users: Users,
    ) -> Result<Vec<Option<PathBuf>>> {
        let Users {
            entries,
            tolerated,
            held,
            ..
        } = users;
        let asked: Vec<String> = entries.iter().map(|entry| entry.id.clone()).collect();
        let running = quiesce::still_running(self.engine, entries);
        let (entries, ended) = self.cx.shutdown.cut("the restore", running).await?;
        self.warnings.extend(ended);
        let is_running = |id: &String| entries.iter().any(|entry| entry.id == *id);
        let mut holds = held;
        // What has ended meanwhile is not ours to start, now or later.
        holds.retain(|held| !asked.contains(&held.entry.id) || is_running(&held.entry.id));
        self.held = holds.iter().map(|held| held.entry.name.clone()).collect();
        // It goes to the disk with the decision.
        file.journal.holds = holds;
        if entries.is_empty() {
            let kept = self
                .swap(file, Ok(()), Vec::new(), swapped, &tolerated)
                .await?;
            self.start_what_was_down().await?;
            return Ok(kept);
        }
        self.enter(Step::Record).await;
        let record = RecordFile::create(
            &self.cx.paths.stop_records(),
            &self.id.to_string(),
            &self.unit,
            self.engine.socket(),
            self.config.backup.start_timeout.as_secs(),
            entries.clone(),
        )?;
        self.enter(Step::Stop).await;
        let engine = self.engine;
        let shutdown = &self.cx.shutdown;
        let mut swapping = Swapping {
            window: self,
            file,
            swapped,
            tolerated: &tolerated,
            held: Vec::new(),
        };
        let over = quiesce::while_down(engine, record, shutdown, &mut swapping).await;
        let held = swapping.held;
        self.downtime_seconds = over.started.downtime_seconds;
        self.still_stopped.extend(over.started.still_stopped);
        self.warnings.extend(over.started.warnings);
        self.timeline.end();
        let kept = match over.result {
            Ok(result) => result?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        self.start_what_was_down().await?;
        self.enter(Step::Settle).await;
        let patience = self.config.backup.start_timeout;
        let entries: Vec<_> = entries
            .into_iter()
            .filter(|entry| !held.contains(&entry.id))
            .collect();
        tokio::select! {
            biased;
            () = self.cx.shutdown.asked() => {}
            unhealthy = quiesce::start::settle(self.engine, &entries, patience) => {
                self.errors.extend(unhealthy);
            }
        }
        Ok(kept)
    }

    /// What an earlier run left stopped of this unit, and could not be started before it was restored.
    async fn start_what_was_down(&mut self) -> Result<()> {
        let cx = self.cx;
        let unit = Some(&self.unit);
        let replayed = replay::replay(&cx.paths.stop_records(), unit, &cx.ui, &cx.shutdown).await?;
        self.warnings.extend(replayed.started.warnings);
        for down in replayed.started.still_stopped {
            if !self.still_stopped.contains(&down) {
                self.still_stopped.push(down);
            }
        }
        Ok(())
    }

    /// Everything that happens while services are down. After the decision no signal is heard: what is left is instant.
    async fn swap(
        &mut self,
        file: &mut JournalFile,
        stopped: Result<()>,
        entries: Vec<Entry>,
        swapped: &[Place],
        tolerated: &[String],
    ) -> Result<Vec<Option<PathBuf>>> {
        if stopped.is_err() {
            self.refuse_when_asked_to_end()?;
        }
        stopped?;
        self.enter(Step::ProveCold).await;
        let prove = cold::prove(self.engine, &entries, swapped, tolerated);
        let ends = self.cx.shutdown.cut("the restore", prove).await?;
        self.warnings.extend(ends.warnings);
        self.refuse_when_asked_to_end()?;
        self.enter(Step::Decide).await;
        file.decide()?;
        self.enter(Step::Swap).await;
        if let Err(error) = exchange::exchange_all(&file.journal.swaps).await {
            if !error.is::<exchange::NotTakenBack>()
                && let Err(stale) = file.retreat()
            {
                self.warnings.push(format!("{stale:#}"));
            }
            return Err(error);
        }
        file.swapped();
        let settled = held::settle(&file.journal, file.folder(), Some(self.engine)).await;
        match settled {
            Ok(problems) => self.warnings.extend(problems),
            Err(error) => self.errors.push(format!("{error:#}")),
        }
        let holds = file.journal.held_ids();
        self.restart_late(swapped, tolerated, &holds).await;
        self.enter(Step::Keep).await;
        let mut kept = Vec::new();
        for swap in &file.journal.swaps {
            kept.push(match exchange::keep(swap) {
                Ok(kept) => kept,
                Err(error) => {
                    let content = swap.content();
                    self.warnings.push(format!(
                        "what {} held before is in `{}`: {error:#}",
                        swap.what,
                        content.display()
                    ));
                    Some(content)
                }
            });
        }
        self.enter(Step::Note).await;
        if let Err(error) = file.note() {
            // The journal stays: the next run, or `recover`, notes it.
            self.warnings.push(format!(
                "what was there before is kept, but it cannot be written down yet. When there is space again, `kopi-docka recover` does it; until then `--list-safety` does not know of it: {error:#}"
            ));
            return Ok(kept);
        }
        self.enter(Step::Forget).await;
        if let Err(error) = file.finish() {
            self.warnings.push(format!("{error:#}"));
        }
        Ok(kept)
    }

    /// What came up while the data was exchanged has not seen all of it.
    async fn restart_late(&mut self, swapped: &[Place], tolerated: &[String], holds: &[String]) {
        if swapped.is_empty() {
            return;
        }
        let late = Late {
            cx: self.cx,
            config: self.config,
            engine: self.engine,
            id: self.id,
            unit: &self.unit,
            swapped,
            tolerated,
            holds,
        };
        let started = late.restart().await;
        self.warnings.extend(started.warnings);
        self.still_stopped.extend(started.still_stopped);
    }
}
