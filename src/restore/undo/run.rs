//! Takes a restore back: what was there before comes in its place again, with the care of a restore. What was restored
//! is kept then, so that this can be taken back as well.

use std::path::PathBuf;

use super::asked::{Mode, Which, no_such_restore, records};
use super::plan;
use super::plan::Plan;
use super::report::Report;
use crate::base::blocking::{aside, looked_up};
use crate::base::lock::Lock;
use crate::base::work;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Rules};
use crate::drivers::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::model::UnitName;
use crate::recovery;
use crate::recovery::Comeback;
use crate::restore::apply::outcome;
use crate::restore::apply::step::Step;
use crate::restore::apply::window::Window;
use crate::restore::rebuild::program_here;
use crate::swap::held::{Held, held};
use crate::swap::journal::{Journal, JournalFile};
use crate::swap::kept::{self, Restored};
use crate::swap::staging;
use crate::swap::users::{self, Users};
use crate::ui::prompt;

struct Undo<'a> {
    cx: &'a Context,
    config: Config,
    rules: Rules,
    engine: Engine,
    _lock: Lock,
}

pub async fn run(cx: &Context, which: Which, unit: Option<&UnitName>, mode: Mode) -> Result<u8> {
    let config = cx.config()?.config;
    let lock = Lock::take(&cx.paths.runtime, "restore --undo")?;
    work::remove_stale(&cx.paths.runtime)?;
    if mode != Mode::DryRun {
        recovery::bring_up_or_tell(cx).await?;
    }
    let journals = cx.paths.restore_journals();
    let records = records(cx, &journals, unit)?;
    let restored = match which {
        Which::Latest => records.first(),
        Which::Id(id) => records.iter().find(|record| record.id == id),
    };
    let Some(restored) = restored.cloned() else {
        let what = match (which, unit) {
            (Which::Id(id), _) => format!("restore {id}"),
            (Which::Latest, Some(unit)) => format!("any restore of `{unit}`"),
            (Which::Latest, None) => "any restore".to_owned(),
        };
        return Err(no_such_restore(&what).into());
    };
    let undo = Undo {
        rules: Rules::of(&config, &cx.paths),
        engine: Engine::connect(&config.docker.socket).await?,
        cx,
        config,
        _lock: lock,
    };
    if undo.engine.socket() != restored.socket {
        return Err(Failure::new(
            Exit::Docker,
            format!(
                "restore {} was made with the engine at `{}`, the configuration names `{}`",
                restored.id,
                restored.socket.display(),
                undo.engine.socket().display()
            ),
        )
        .into());
    }
    let plan = undo.plan(restored, records).await?;
    plan.show(cx, mode == Mode::DryRun);
    match mode {
        Mode::DryRun => return Ok(0),
        Mode::Ask => prompt::confirm(&plan.question(), "--yes", &cx.shutdown).await?,
        Mode::Yes => {}
    }
    let report = undo.apply(plan).await?;
    report.show(cx);
    Ok(report.exit_code)
}

impl Undo<'_> {
    async fn plan(&self, restored: Restored, all: Vec<Restored>) -> Result<Plan> {
        let journals = self.cx.paths.restore_journals();
        let held = restored.held.clone();
        let mut plan = looked_up(aside(move || plan::look(&restored, &all, &journals))).await?;
        for held in held {
            let name = held.entry.name.clone();
            if self.engine.inspect(&held.entry.id).await?.is_some() {
                plan.starts.push(name);
                plan.wakes.push(held);
            } else {
                plan.remakes.push(name);
            }
        }
        if plan.before.is_some() {
            let host = discovery::discover(&self.engine, &self.rules).await?;
            plan.now = Some(program_here(&host, &plan.unit, &[]));
        }
        let users = self.users(&plan).await?;
        plan.stops = users.entries.into_iter().map(|entry| entry.name).collect();
        plan.warnings.extend(users.warnings);
        Ok(plan)
    }

    async fn users(&self, plan: &Plan) -> Result<Users> {
        let swapped = plan.swapped();
        if swapped.is_empty() {
            // Files alone are replaced while everything runs.
            return Ok(Users::default());
        }
        let host = discovery::discover(&self.engine, &self.rules).await?;
        let mut users = users::ask(&host, &self.config, Some(&plan.unit), &swapped).await?;
        if plan.before.is_some() {
            // What has come since belongs to the data that goes.
            let records = self.cx.paths.stop_records();
            let all = held(&self.engine, &users, &records, &plan.unit).await?;
            let is_from_before = |held: &Held| {
                let mut wakes = plan.wakes.iter();
                wakes.any(|wake| wake.entry.id == held.entry.id)
            };
            users.held = all
                .into_iter()
                .filter(|held| !is_from_before(held))
                .collect();
        }
        Ok(users)
    }

    async fn apply(&self, plan: Plan) -> Result<Report> {
        let mut window = Window::new(
            self.cx,
            &self.config,
            &self.engine,
            plan.unit.clone(),
            plan.restore_id,
        );
        window.enter(Step::Journal).await;
        let journal = Journal {
            swaps: plan
                .targets
                .iter()
                .map(|target| target.swap.clone())
                .collect(),
            undoes: Some(plan.undoes),
            wakes: plan.wakes.clone(),
            start_timeout_seconds: self.config.backup.start_timeout.as_secs(),
            before: plan.now.clone(),
            owed: plan.owed(),
            ..Journal::new(
                plan.restore_id,
                plan.unit.clone(),
                self.engine.socket().to_owned(),
            )
        };
        let what = format!(
            "restore {} of unit `{}` was not taken back",
            plan.undoes, plan.unit
        );
        let journals = self.cx.paths.restore_journals();
        let mut file = JournalFile::create(&journals, journal)
            .map_err(|error| outcome::not_begun(what.clone(), error))?;
        match self.put_back(&plan, &mut window, &mut file).await {
            Ok(kept) => {
                self.bring_back(&plan, &mut window).await;
                Ok(Report::of(plan, window, kept, self.cx))
            }
            Err(error) => Err(window.give_up(&file, error, what).await),
        }
    }

    /// The program that belongs to the data which is back.
    async fn bring_back(&self, plan: &Plan, window: &mut Window<'_>) {
        let Some(owed) = plan.owed() else {
            return;
        };
        let reporter = &window.reporter;
        let comeback = Comeback {
            engine: &self.engine,
            id: plan.restore_id,
            limit: self.config.docker.compose_timeout,
            shutdown: &self.cx.shutdown,
            say: &|line| reporter.say(line),
        };
        if let Err(error) = comeback.of(&owed).await {
            let next = owed.next();
            window.errors.push(format!(
                "what ran on the data of `{}` before was not started: {error:#}{next}",
                plan.unit
            ));
        }
        let journals = self.cx.paths.restore_journals();
        let forgotten = kept::forget_owed(&journals, plan.restore_id);
        let stale = forgotten.err().map(|error| format!("{error:#}"));
        window.warnings.extend(stale);
    }

    async fn put_back(
        &self,
        plan: &Plan,
        window: &mut Window<'_>,
        file: &mut JournalFile,
    ) -> Result<Vec<Option<PathBuf>>> {
        window.enter(Step::Create).await;
        for target in &plan.targets {
            if let Some(empty) = &target.empty {
                staging::make(&target.swap)?;
                std::fs::create_dir(target.swap.content())?;
                empty.set(&target.swap.content())?;
            }
        }
        file.look_at_numbers().await?;
        window.refuse_when_asked_to_end()?;
        let users = self.users(plan).await?;
        window.pass(file, &plan.swapped(), users).await
    }
}
