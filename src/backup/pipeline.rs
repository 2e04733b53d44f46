//! Unit after unit, as a pipeline: one window at a time, and beside it what comes after the windows of others. Between two windows the
//! next unit gets ready while the former ones are stored and get healthy.
//!
//! A window opens only when the spool has space for its unit: else it would wait for the storage of the one before with services down.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::sleep;
use tracing::{Instrument as _, Span, info_span};

use super::events::Event;
use super::proof::Proof;
use super::run::{Run, not_tried, of_error, plan_afresh};
use super::stages::{self, Ready};
use crate::base::heartbeat;
use crate::discovery::Look;
use crate::error::Result;
use crate::hooks::{self, Told, UnitHooks};
use crate::model::UnitName;
use crate::model::report::{Outcome, UnitReport};

/// How often the spool is looked at while it is full.
const LOOK: Duration = Duration::from_millis(50);

/// How many units may be after their windows: each has a recipe in memory, and a kopia when it is committed.
const MOST_AFTER: usize = 8;

/// Saves `chosen`, which `look` has found; one report each, in their order. A unit that fails does not keep the next from being saved.
/// An error is that of `proof`: nothing was stopped then.
pub async fn save_all(
    run: &Run<'_>,
    chosen: &[UnitName],
    look: &mut Look,
    proof: Proof,
) -> Result<Vec<UnitReport>> {
    run.reporter.report(&Event::RunStarted {
        backup_id: run.backup_id,
        units: chosen,
        orphan_volumes: &look.discovery.orphan_volumes,
    });
    let mut pipeline = Pipeline {
        run,
        proof: Some(proof),
        after: FuturesUnordered::new(),
        stopped: BTreeMap::new(),
        reports: BTreeMap::new(),
        hooks: BTreeMap::new(),
        due: Vec::new(),
    };
    for (index, name) in chosen.iter().enumerate() {
        if run.shutdown.is_asked() {
            let report = not_tried(name, Outcome::Skipped, Vec::new());
            pipeline.reports.insert(index, report);
            continue;
        }
        run.reporter.report(&Event::UnitStarted {
            unit: name,
            number: index + 1,
            of: chosen.len(),
        });
        pipeline.save(index, name, look).await?;
    }
    pipeline.end().await
}

/// For what is logged of the unit.
fn span(unit: &UnitName) -> Span {
    info_span!("unit", unit = %unit)
}

struct Pipeline<'a> {
    run: &'a Run<'a>,
    /// That the repository is the right one; until it is known.
    proof: Option<Proof>,
    /// What goes on after the windows.
    after: FuturesUnordered<LocalBoxFuture<'a, (usize, UnitReport)>>,
    /// What these had stopped, which may not have settled yet.
    stopped: BTreeMap<usize, BTreeSet<String>>,
    reports: BTreeMap<usize, UnitReport>,
    /// What is done when a unit is over.
    hooks: BTreeMap<usize, UnitHooks>,
    /// Over, and their hooks wait until no window is open.
    due: Vec<(usize, UnitReport)>,
}

impl<'a> Pipeline<'a> {
    /// Up to the end of its window; the rest goes on in [`Self::after`].
    async fn save(&mut self, index: usize, name: &'a UnitName, look: &mut Look) -> Result<()> {
        let run = self.run;
        let before = async {
            let plan = run.shutdown.cut("the run", plan_afresh(run, name, look));
            match plan.await {
                Ok(plan) => stages::before(run, plan).await,
                Err(error) => Err(of_error(name, &error)),
            }
        };
        // Around each by itself: what is done beside it is of other units.
        let before = before.instrument(span(name));
        let ready = match self.proven(before).await? {
            // A signal came first: nothing is done in a repository of which nothing is known.
            Ok(_) if self.proof.is_some() => {
                let what = "a signal ended the run";
                Err(not_tried(name, Outcome::Failed, vec![what.to_owned()]))
            }
            ready => ready,
        };
        let unit = look.discovery.units.iter().find(|unit| unit.name == *name);
        let hooks = match unit {
            Some(unit) => hooks::of_unit(run.config, unit),
            None => hooks::of_name(run.config, name),
        };
        self.hooks.insert(index, hooks);
        let ready = match ready {
            Ok(ready) => ready,
            Err(report) => {
                self.finished(index, report);
                return Ok(());
            }
        };
        let ready = match self.beside(ready.warmed().instrument(span(name))).await {
            Ok(ready) => ready,
            Err(report) => {
                self.finished(index, report);
                return Ok(());
            }
        };
        self.until_it_may_open(&ready).await;
        Box::pin(self.do_due()).await;
        let stops = ready.stops();
        let window = ready.window().instrument(span(name));
        match self.beside(window).await {
            Ok(taken) => {
                self.stopped.insert(index, stops);
                // A bug in what is done for this unit must not end the window of another one.
                let after = AssertUnwindSafe(taken.after()).catch_unwind();
                let after = after.map(move |done| {
                    let broken = |_| {
                        let what = "internal error while it was stored: this is a bug";
                        not_tried(name, Outcome::Failed, vec![what.to_owned()])
                    };
                    (index, done.unwrap_or_else(broken))
                });
                self.after.push(after.instrument(span(name)).boxed_local());
            }
            Err(report) => self.finished(index, report),
        }
        Ok(())
    }

    /// Does `work`; no use is made of it before the proof has ended. After a signal the proof may be left.
    async fn proven<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let Some(mut proof) = self.proof.take() else {
            return Ok(self.beside(work).await);
        };
        let shutdown = self.run.shutdown;
        let done = proof.beside(self.beside(work)).await?;
        tokio::select! {
            biased;
            () = shutdown.asked() => self.proof = Some(proof),
            proven = proof.end() => proven?,
        }
        Ok(done)
    }

    /// Does `work` to its end, and what goes on after the windows beside it.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                // In this order: a window is never kept waiting.
                biased;
                done = &mut work => return done,
                Some((index, report)) = self.after.next() => self.finished(index, report),
            }
        }
    }

    /// Waits for space in the spool, and for containers that another unit has stopped and that have not settled.
    async fn until_it_may_open(&mut self, ready: &Ready<'_>) {
        let stops = ready.stops();
        let estimate = ready.estimated_bytes();
        loop {
            let is_shared = self
                .stopped
                .values()
                .any(|other| !other.is_disjoint(&stops));
            let is_open =
                !is_shared && self.run.has_room_for(estimate) && self.after.len() < MOST_AFTER;
            if self.after.is_empty() || is_open || self.run.shutdown.is_asked() {
                return;
            }
            tokio::select! {
                Some((index, report)) = self.after.next() => self.finished(index, report),
                () = self.run.shutdown.asked() => {}
                () = sleep(LOOK) => heartbeat::beat(),
            }
        }
    }

    fn finished(&mut self, index: usize, report: UnitReport) {
        self.stopped.remove(&index);
        let has_hooks = self.hooks.get(&index).is_some_and(|hooks| {
            !hooks.after_unit.is_empty() || !(hooks.failed.is_empty() || report.is_good())
        });
        if has_hooks {
            self.due.push((index, report));
        } else {
            self.tell(index, report);
        }
    }

    /// While no window is open.
    async fn do_due(&mut self) {
        for (index, mut report) in std::mem::take(&mut self.due) {
            let hooks = self.hooks.remove(&index).unwrap_or_default();
            let told = Told::of_run(self.run.backup_id).and_of(&report);
            let of_failure = (!report.is_good()).then_some(hooks.failed);
            let series = self.run.series();
            for list in of_failure.into_iter().chain([hooks.after_unit]) {
                let came = series.after(&list, &told).await;
                report.errors.extend(came.wrong);
                report.warnings.extend(came.warnings);
                report.hooks.extend(came.reports);
            }
            self.tell(index, report);
        }
    }

    fn tell(&mut self, index: usize, report: UnitReport) {
        span(&report.unit).in_scope(|| {
            let event = Event::UnitFinished { report: &report };
            self.run.reporter.report(&event);
        });
        self.reports.insert(index, report);
    }

    async fn end(mut self) -> Result<Vec<UnitReport>> {
        if let Some(mut proof) = self.proof.take()
            && !self.run.shutdown.is_asked()
        {
            self.run.shutdown.cut("the run", proof.end()).await?;
        }
        while let Some((index, report)) = self.after.next().await {
            self.finished(index, report);
        }
        Box::pin(self.do_due()).await;
        Ok(self.reports.into_values().collect())
    }
}
