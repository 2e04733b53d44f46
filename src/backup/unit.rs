//! What is done to one unit, step by step: BEFORE while services run, in the WINDOW in which they are down, and AFTER when they run again.
//! [`stages`](super::stages) says in which order.

use std::cmp::Reverse;
use std::path::Path;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::commit::{self, Draft};
use super::events::Event;
use super::forecast::{self, ToRead};
use super::hot;
use super::memory::{self, Recalled, left_out};
use super::plan::UnitPlan;
use super::recipe;
use super::run::Run;
use super::saved::{Evidence, Saved};
use super::sources;
use super::step::{Step, Timeline};
use super::store::{Opened, Storing};
use super::tags::Filing;
use crate::base::blocking::aside;
use crate::base::fault;
use crate::base::timeline::Step as _;
use crate::base::work;
use crate::drivers::docker::Listener;
use crate::drivers::systemd::inhibit;
use crate::error::{Exit, Failure, Result, hints_of};
use crate::hooks::{self, Owed, Told};
use crate::model::Grade;
use crate::model::point::PointRecord;
use crate::model::report::{HookReport, Outcome, UnitReport};
use crate::quiesce::{self, Entry, Leave, Place, RecordFile, WhileDown, cold};

/// One unit being saved.
pub(super) struct Saving<'a> {
    run: &'a Run<'a>,
    pub(super) plan: UnitPlan,
    pub(super) sources: Vec<Saved>,
    timeline: Timeline,
    downtime_seconds: f64,
    expected_downtime_seconds: Option<f64>,
    /// How long it may be down.
    limit: Option<Duration>,
    /// It would have been down for longer.
    is_left_up: bool,
    still_stopped: Vec<(String, String)>,
    warnings: Vec<String>,
    grade: Option<Grade>,
    /// Something that is not about a single source, after which the point is good all the same.
    trouble: Vec<String>,
    /// What is not in the point, one line each.
    losses: Vec<String>,
    hooks: hooks::UnitHooks,
    /// What has to follow what was begun.
    owed: Option<hooks::Owed>,
    hook_reports: Vec<HookReport>,
}

/// What is captured before the stop and written last.
pub(super) struct Recipe {
    started_at: DateTime<Utc>,
    work: TempDir,
    captured: recipe::Captured,
}

/// What the window of a backup is for.
struct Reading<'s, 'a> {
    saving: &'s mut Saving<'a>,
    /// Taken when it begins.
    opened: Vec<Opened>,
}

impl WhileDown for Reading<'_, '_> {
    type Done = Vec<Vec<Storing>>;

    async fn work(&mut self, down: quiesce::window::Down<'_>) -> Result<Self::Done> {
        let opened = std::mem::take(&mut self.opened);
        self.saving
            .read_all(opened, down.stopped, down.entries, down.spoilt)
            .await
    }

    async fn leave(&mut self, _: &thread::Result<Result<Self::Done>>) -> Leave {
        self.saving.enter(Step::Start).await;
        Leave::Started
    }
}

impl<'a> Saving<'a> {
    pub(super) fn new(run: &'a Run<'a>, plan: UnitPlan) -> Self {
        let mut sources: Vec<Saved> = plan
            .unit
            .sources
            .iter()
            .map(|source| Saved::new(source.clone(), plan.sizes.get(&source.key).cloned()))
            .collect();
        // The longest first, and before them what could not be measured: one that began last would make the window longer.
        sources.sort_by_key(|saved| {
            let is_measured = plan.sizes.contains_key(&saved.source.key);
            (is_measured, Reverse(saved.estimated_bytes))
        });
        let warnings = plan.warnings.clone();
        let trouble = plan.errors.clone();
        let hooks = hooks::of_unit(run.config, &plan.unit);
        Self {
            run,
            plan,
            sources,
            timeline: Timeline::default(),
            downtime_seconds: 0.0,
            expected_downtime_seconds: None,
            limit: None,
            is_left_up: false,
            still_stopped: Vec::new(),
            warnings,
            grade: None,
            trouble,
            losses: Vec::new(),
            hooks,
            owed: None,
            hook_reports: Vec::new(),
        }
    }

    pub(super) async fn before(&mut self) -> Result<(Recipe, Option<Vec<Opened>>)> {
        if let Some(reason) = self.plan.refusal.take() {
            return Err(Failure::new(Exit::UnitsFailed, reason)
                .hint("label the container `kopi-docka.enable=false` to leave it out on purpose")
                .into());
        }
        let started_at = Utc::now();
        let work = work::make(&self.run.paths.runtime)?;
        let captured = self.prepare(work.path()).await?;
        let recipe = Recipe {
            started_at,
            work,
            captured,
        };
        let warnings = hot::choose(self.run, &self.plan, &mut self.sources).await;
        self.warnings.extend(warnings);
        let (limit, warnings) = forecast::limit(self.run.config, &self.plan.unit);
        self.warnings.extend(warnings);
        self.limit = limit;
        if self.sources.iter().any(hot::is_to_be_warmed) {
            // Nothing is read for a unit that would be down for too long even if the window had nothing to read of these.
            self.expect(|saved| match hot::is_to_be_warmed(saved) {
                true => ToRead::default(),
                false => saved.to_read(),
            })
            .await?;
            return Ok((recipe, None));
        }
        self.enter(Step::Open).await;
        let opened = self.open().await?;
        Ok((recipe, Some(opened)))
    }

    /// Reads each source before the stop as far as it is not proven, and opens kopia for the window.
    pub(super) async fn warm(&mut self) -> Result<Vec<Opened>> {
        self.enter(Step::ReadHot).await;
        let filing = self.filing();
        let warnings = hot::warm(self.run, &filing, &self.plan, &mut self.sources).await;
        self.warnings.extend(warnings);
        if self.run.shutdown.is_asked() {
            return Err(self.run.store.interrupted());
        }
        fault::reached("warm").await;
        self.enter(Step::Open).await;
        self.open().await
    }

    /// An error when it would be down for longer than it may be.
    pub(super) async fn expect(&mut self, to_read: impl Fn(&Saved) -> ToRead) -> Result<()> {
        if self.plan.entries.is_empty() {
            return Ok(());
        }
        let unit = &self.plan.unit.name;
        let history = self.run.history().await;
        let reads = self.sources.iter();
        let reads = reads.map(|saved| (&saved.source.key, to_read(saved)));
        let seconds = forecast::downtime(history, unit, reads, self.run.workers);
        self.expected_downtime_seconds = Some(seconds);
        let refusal = self
            .limit
            .and_then(|limit| forecast::refusal(seconds, unit, limit));
        self.is_left_up = refusal.is_some();
        refusal.map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    async fn enter(&mut self, step: Step) {
        self.run.reporter.report(&Event::Step {
            unit: &self.plan.unit.name,
            step: step.name(),
            in_window: step.is_in_window(),
        });
        self.timeline.enter(step).await;
    }

    /// Captures the recipe.
    async fn prepare(&mut self, work: &Path) -> Result<recipe::Captured> {
        self.enter(Step::Prepare).await;
        let backup = &self.run.config.backup;
        let capture = recipe::capture(
            &self.run.engine,
            &self.plan.unit,
            work,
            backup.include_secrets,
            backup.stall_timeout,
            backup.build_context_max,
        );
        self.run.shutdown.cut("the run", capture).await
    }

    /// As many kopia processes as there are workers, each ready to read.
    async fn open(&self) -> Result<Vec<Opened>> {
        let store = &self.run.store;
        let opens = self
            .sources
            .iter()
            .take(self.run.workers)
            .map(|saved| async {
                store
                    .open(&self.filing().stream(&saved.source, saved.estimated_bytes))
                    .await
            });
        tokio::select! {
            biased;
            () = self.run.shutdown.asked() => Err(self.run.store.interrupted()),
            opened = join_all(opens) => opened.into_iter().collect(),
        }
    }

    /// What the operator wants to be done before the stop; an error leaves the unit up.
    pub(super) async fn before_stop(&mut self) -> Result<()> {
        let before = std::mem::take(&mut self.hooks.before_stop);
        let after = std::mem::take(&mut self.hooks.after_start);
        let is_nothing = before.is_empty() && after.is_empty();
        if self.plan.entries.is_empty() || is_nothing {
            return Ok(());
        }
        self.enter(Step::Hooks).await;
        let (run, unit) = (self.run, &self.plan.unit.name);
        let told = Told::of_run(run.backup_id);
        let socket = run.engine.socket().to_owned();
        let folder = run.paths.owed_hooks();
        self.owed = Owed::write(&folder, Some(unit), (told.clone(), socket), after).await?;
        let (came, is_done) = run.series().before(&before, &told).await;
        let wrong = came.wrong.join("; ");
        self.warnings.extend(came.warnings);
        self.hook_reports.extend(came.reports);
        if is_done {
            return Ok(());
        }
        if run.shutdown.is_asked() {
            return Err(run.store.interrupted());
        }
        Err(Failure::new(Exit::UnitsFailed, format!("{wrong}; it was left up")).into())
    }

    /// What has to follow, when containers run again and are healthy. It is done whatever came before, and also after a signal.
    pub(super) async fn after_start(&mut self) {
        let Some(owed) = self.owed.take() else {
            return;
        };
        let run = self.run;
        let patience = run.config.backup.start_timeout;
        tokio::select! {
            biased;
            () = run.shutdown.asked() => {}
            // What is not healthy is told later.
            _ = quiesce::start::settle(&run.engine, &self.plan.entries, patience) => {}
        }
        self.enter(Step::AfterStart).await;
        let came = owed.pay(Some(&run.engine), &run.masks).await;
        self.trouble.extend(came.wrong);
        self.warnings.extend(came.warnings);
        self.hook_reports.extend(came.reports);
    }

    fn filing(&self) -> Filing {
        self.run.filing(&self.plan.unit.name, self.plan.unit.kind)
    }

    /// Stops, reads, starts. The containers are up again when this returns, whatever it returns.
    pub(super) async fn window(&mut self, opened: Vec<Opened>) -> Result<Vec<Vec<Storing>>> {
        let entries = std::mem::take(&mut self.plan.entries);
        let (entries, ended) = quiesce::still_running(&self.run.engine, entries).await?;
        self.plan.entries = entries;
        self.warnings.extend(ended);
        if self.plan.entries.is_empty() {
            return self
                .read_all(opened, Ok(()), Vec::new(), &Notify::new())
                .await;
        }
        self.enter(Step::Record).await;
        let file = RecordFile::create(
            &self.run.paths.stop_records(),
            &self.run.backup_id.to_string(),
            &self.plan.unit.name,
            self.run.engine.socket(),
            self.run.config.backup.start_timeout.as_secs(),
            self.plan.entries.clone(),
        )?;
        let inhibitor = inhibit::while_down(self.plan.unit.name.as_str());
        self.enter(Step::Stop).await;
        let run = self.run;
        let mut reading = Reading {
            saving: self,
            opened,
        };
        let over = quiesce::while_down(&run.engine, file, run.shutdown, &mut reading).await;
        drop(inhibitor);
        self.timeline.end();
        let started = over.started;
        self.downtime_seconds = started.downtime_seconds;
        if let Some(limit) = self.limit
            && self.downtime_seconds > limit.as_secs_f64()
        {
            self.warnings.push(format!(
                "it was down for {:.0} s, longer than `backup.max_downtime` ({} s)",
                self.downtime_seconds,
                limit.as_secs()
            ));
        }
        self.still_stopped = started.still_stopped;
        self.plan.entries = over.entries;
        // Those have their error, and nothing is waited for.
        self.plan.entries.retain(|entry| {
            !self
                .still_stopped
                .iter()
                .any(|(name, _)| *name == entry.name)
        });
        self.warnings.extend(started.warnings);
        match over.result {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Everything that happens while services are down. What is read goes on being stored in the returned tasks.
    async fn read_all(
        &mut self,
        opened: Vec<Opened>,
        stopped: Result<()>,
        entries: Vec<Entry>,
        spoilt: &Notify,
    ) -> Result<Vec<Vec<Storing>>> {
        stopped?;
        let mut listener = self.run.engine.listen();
        self.enter(Step::ProveCold).await;
        let tolerated = self.plan.tolerated_ids();
        let places = self.places();
        let prove = cold::prove(&self.run.engine, &entries, &places, &tolerated);
        let ends = self.run.shutdown.cut("the run", prove).await?;
        self.enter(Step::Read).await;
        let storing = {
            let filing = self.filing();
            let sources = &mut self.sources;
            let reading = sources::read_all(self.run, &self.plan, &filing, sources, opened);
            let mut reading = std::pin::pin!(reading);
            tokio::select! {
                biased;
                storing = &mut reading => storing,
                () = cold::spoilt(&mut listener, &places, &tolerated) => {
                    spoilt.notify_one();
                    reading.await
                }
            }
        };
        self.enter(Step::ProveStillCold).await;
        if self.run.shutdown.is_asked() {
            // There will be no point, so nothing needs to be proven.
            return Ok(storing);
        }
        self.warnings.extend(ends.warnings);
        self.grade(&ends.unclean, listener, &tolerated).await;
        Ok(storing)
    }

    /// Where no container may write.
    fn places(&self) -> Vec<Place> {
        self.plan.unit.sources.iter().map(Place::from).collect()
    }

    /// How far each source can be trusted, as far as it is known at the end of the window.
    async fn grade(&mut self, unclean: &cold::Unclean, listener: Listener, tolerated: &[String]) {
        let places = self.places();
        let since = cold::writers_since(&self.run.engine, listener, &places, tolerated);
        // After a signal there will be no point, and an engine that does not answer must not keep services down.
        let since = self.run.shutdown.cut("the proof", since).await;
        let written = since.unwrap_or_else(|error| {
            let sentence = format!("cannot prove that it was not written to: {error:#}");
            let keys = self.plan.unit.sources.iter();
            vec![(
                sentence,
                keys.map(|source| source.key.to_string()).collect(),
            )]
        });
        for (id, reason) in unclean {
            if !self
                .sources
                .iter()
                .any(|saved| saved.source.writers.contains(id))
            {
                self.warnings.push(reason.clone());
            }
        }
        let evidence = Evidence {
            written,
            unclean,
            tolerated: &self.plan.tolerated,
            doubts: &self.plan.doubts,
        };
        for saved in &mut self.sources {
            self.trouble.extend(saved.judge(&evidence));
        }
    }

    /// Services get healthy while kopia stores the rest and commits.
    pub(super) async fn after(&mut self, storing: Vec<Vec<Storing>>) -> Result<()> {
        self.enter(Step::Store).await;
        let patience = self.run.config.backup.start_timeout;
        let (run, filing) = (self.run, &self.filing());
        let settling = async {
            tokio::select! {
                biased;
                // There will be no point, so it does not matter.
                () = run.shutdown.asked() => Vec::new(),
                unhealthy = quiesce::start::settle(&run.engine, &self.plan.entries, patience) => unhealthy,
            }
        };
        let finishing = self
            .sources
            .iter_mut()
            .zip(storing)
            .map(|(saved, storing)| async move {
                saved.finish(run, filing, storing).await;
                run.reporter.finished(&saved.source.key);
            });
        let (unhealthy, _) = tokio::join!(settling, join_all(finishing));
        self.trouble.extend(unhealthy);
        if self.run.shutdown.is_asked() {
            return Err(self.run.store.interrupted());
        }
        Ok(())
    }

    /// Writes the commit record, as the last thing.
    pub(super) async fn commit(&mut self, recipe: Recipe) -> Result<()> {
        let Recipe {
            started_at,
            work,
            captured,
        } = recipe;
        self.enter(Step::Commit).await;
        self.sort();
        self.warnings.extend(captured.warnings);
        self.plan.gaps.extend(captured.gaps);
        self.plan
            .gaps
            .extend(self.sources.iter().filter_map(Saved::vanished_gap));
        let carried = self.plan.past.carry_on(
            self.plan.unit.name.as_str(),
            &self.sources,
            &mut self.plan.gaps,
            Utc::now(),
        );
        self.warnings.extend(carried.warnings.iter().cloned());
        let draft = Draft {
            unit: &self.plan.unit,
            sources: &self.sources,
            gaps: &self.plan.gaps,
            downtime_seconds: self.downtime_seconds,
            started_at,
            project: captured.project,
            files: captured.files,
            past: &self.plan.past,
            carried,
        };
        let (record, lists) = draft.record(self.run);
        if record.sources.is_empty() && !record.missing.is_empty() {
            let failing = record.missing.into_iter().map(|missing| missing.key);
            let next = self.plan.past.next_without_point(failing.collect());
            self.keep_in_mind(next).await;
            let first = self.first_error();
            return Err(first.unwrap_or_else(|| anyhow::anyhow!("no source could be saved")));
        }
        let filing = self.filing();
        tokio::select! {
            biased;
            () = self.run.shutdown.asked() => return Err(self.run.store.interrupted()),
            committed = commit::write(self.run, &filing, work.path(), (&record, &lists)) => committed?,
        }
        self.keep_indexes().await;
        self.grade = Some(record.grade);
        self.remember(&record).await;
        Ok(())
    }

    /// What the point holds and what it lacks: for the report, and for the next run.
    async fn remember(&mut self, record: &PointRecord) {
        let unit = self.plan.unit.name.clone();
        let past = &self.plan.past;
        let missing = record
            .missing
            .iter()
            .map(|missing| past.told_missing(&unit, missing));
        let lost = record.gaps.iter().filter(|gap| gap.is_loss);
        self.losses = missing
            .chain(lost.map(|gap| left_out::loss(&unit, gap)))
            .collect();
        let next = past.next(record);
        self.keep_in_mind(next).await;
    }

    async fn keep_in_mind(&mut self, next: Recalled) {
        let unit = self.plan.unit.name.clone();
        let (paths, profile) = (self.run.paths.clone(), self.run.config.profile().to_owned());
        // It waits for the disk, and another unit may be down meanwhile.
        let written = aside(move || next.write(&paths, &profile, &unit));
        if let Err(error) = written.await {
            self.warnings.push(format!(
                "what this point holds could not be remembered, so the next run reads it from the repository: {error:#}"
            ));
        }
    }

    /// The point is there: what its parts hold need not be read again.
    async fn keep_indexes(&mut self) {
        for saved in &mut self.sources {
            let Some(warm) = &mut saved.warm else {
                continue;
            };
            fault::reached("keep_index").await;
            if let Err(error) = warm.keep().await {
                self.warnings.push(format!(
                    "the index of {} could not be written, so the next run reads all of it: {error:#}",
                    saved.source.key
                ));
            }
        }
    }

    /// From the order in which they are read to the one in which they are told.
    fn sort(&mut self) {
        self.sources.sort_by(|a, b| a.source.key.cmp(&b.source.key));
    }

    fn first_error(&mut self) -> Option<anyhow::Error> {
        self.sources.iter_mut().find_map(|saved| {
            let key = saved.source.key.to_string();
            saved
                .error
                .take()
                .map(|error| error.context(format!("{key} could not be saved")))
        })
    }

    pub(super) fn into_report(mut self, result: Result<()>) -> UnitReport {
        self.sort();
        let mut errors: Vec<String> = match &result {
            Ok(()) => Vec::new(),
            Err(error) => error.chain().map(ToString::to_string).collect(),
        };
        let is_agreed = |saved: &Saved| {
            let what = saved.source.key.to_string();
            let gaps = &self.plan.gaps;
            gaps.iter().any(|gap| gap.what == what && !gap.is_loss)
        };
        let failed = self.sources.iter().filter(|saved| !is_agreed(saved));
        let failed = failed.filter_map(|saved| saved.error.as_ref());
        let mut hints: Vec<String> = failed
            .chain(result.as_ref().err())
            .flat_map(hints_of)
            .collect();
        hints.sort();
        hints.dedup();
        if self.grade.is_none() {
            memory::settle_for_show(&mut self.plan);
        }
        errors.extend(self.losses.iter().cloned());
        errors.append(&mut self.trouble);
        for (name, reason) in &self.still_stopped {
            errors.push(format!("container `{name}` is still stopped: {reason}"));
        }
        let run = self.run.backup_id.into();
        let outcome = match (self.grade, &result) {
            (Some(Grade::Ok | Grade::Crash | Grade::Unproven | Grade::Hot), _) => Outcome::Saved,
            (Some(Grade::Partial), _) => Outcome::SavedWithLoss,
            (None, _) if self.is_left_up => Outcome::Skipped,
            (None, _) => Outcome::Failed,
        };
        UnitReport {
            unit: self.plan.unit.name.clone(),
            outcome,
            grade: self.grade,
            downtime_seconds: self.downtime_seconds,
            expected_downtime_seconds: self.expected_downtime_seconds,
            steps: self.timeline.into_steps(),
            sources: self
                .sources
                .iter()
                .map(|saved| saved.report(&run))
                .collect(),
            hooks: self.hook_reports,
            gaps: self.plan.gaps,
            warnings: self.warnings,
            errors,
            losses: self.losses,
            hints,
            still_stopped: self
                .still_stopped
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
        }
    }
}
