//! Takes a restore back: what was there before comes in its place again, with the care of a restore. What was restored
//! is kept then, so that this can be taken back as well.

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;
use serde_json::json;

use super::list::{State, state};
use super::record::{Before, Replaced, Restored};
use super::{Mode, Which, no_such_restore, records};
use crate::backup;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::mount_table::MountTable;
use crate::discovery::{self, Rules};
use crate::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::lock::Lock;
use crate::model::report::StepTime;
use crate::model::{BackupId, UnitName};
use crate::restore::aside::aside;
use crate::restore::attributes::Attributes;
use crate::restore::journal::{Journal, JournalFile, Swap, inode};
use crate::restore::look::looked_up;
use crate::restore::staging;
use crate::restore::step::Step;
use crate::restore::target::{self, Forbidden};
use crate::restore::users::{self, Swapped, Users};
use crate::restore::window::Window;
use crate::ui::{prompt, table, text};

struct Undo<'a> {
    cx: &'a Context,
    config: Config,
    rules: Rules,
    engine: Engine,
    _lock: Lock,
}

#[derive(Debug, Serialize)]
struct Plan {
    /// Of the restore that this is.
    restore_id: BackupId,
    undoes: BackupId,
    unit: UnitName,
    targets: Vec<TargetPlan>,
    stops: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct TargetPlan {
    what: String,
    target: PathBuf,
    /// What comes back; `None` for an empty folder.
    from: Option<PathBuf>,
    /// Where what was restored will be kept.
    kept: PathBuf,
    #[serde(skip)]
    swap: Swap,
    /// What an empty folder has itself.
    #[serde(skip)]
    empty: Option<Attributes>,
}

/// Fields are only ever added.
#[derive(Debug, Serialize)]
struct Report {
    restore_id: BackupId,
    undoes: BackupId,
    unit: UnitName,
    targets: Vec<TargetReport>,
    downtime_seconds: f64,
    steps: Vec<StepTime>,
    warnings: Vec<String>,
    errors: Vec<String>,
    still_stopped: Vec<String>,
    exit_code: u8,
}

#[derive(Debug, Serialize)]
struct TargetReport {
    what: String,
    target: PathBuf,
    safety_copy: Option<PathBuf>,
}

pub(super) async fn run(
    cx: &Context,
    which: Which,
    unit: Option<&UnitName>,
    mode: Mode,
) -> Result<u8> {
    let config = cx.config()?.config;
    let lock = Lock::take(&cx.paths.runtime, "restore --undo")?;
    backup::remove_stale_work(&cx.paths)?;
    if mode != Mode::DryRun {
        backup::bring_up_what_is_down(cx).await?;
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
        let mut plan = looked_up(aside(move || look(&restored, &all, &journals))).await?;
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
        users::ask(&host, &self.config, Some(&plan.unit), &swapped).await
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
            ..Journal::new(
                plan.restore_id,
                plan.unit.clone(),
                self.engine.socket().to_owned(),
            )
        };
        let mut file = JournalFile::create(&self.cx.paths.restore_journals(), journal)?;
        match self.put_back(&plan, &mut window, &mut file).await {
            Ok(kept) => Ok(Report::of(plan, window, kept, self.cx)),
            Err(error) => {
                let what = format!(
                    "restore {} of unit `{}` was not taken back",
                    plan.undoes, plan.unit
                );
                Err(window.give_up(&file, error, what).await)
            }
        }
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
        window.refuse_when_asked_to_end()?;
        let users = self.users(plan).await?;
        window.pass(file, &plan.swapped(), users).await
    }
}

/// Blocks.
fn look(restored: &Restored, all: &[Restored], journals: &Path) -> Result<Plan> {
    let mounts = MountTable::read();
    let refuse = |why: anyhow::Error| {
        Failure::new(
            Exit::UnitsFailed,
            format!(
                "restore {} of unit `{}` can't be taken back",
                restored.id, restored.unit
            ),
        )
        .note("nothing was touched")
        .caused_by(why)
    };
    let mut second = 0;
    let (id, targets) = loop {
        let id = BackupId::at(Utc::now() + chrono::Duration::seconds(second));
        let planned = restored
            .replaced
            .iter()
            .map(|replaced| plan_one(replaced, restored, all, &mounts, id))
            .collect::<Result<Vec<_>>>();
        let targets: Vec<TargetPlan> = planned.map_err(refuse)?.into_iter().flatten().collect();
        let is_taken = JournalFile::is_taken(journals, id)
            || targets
                .iter()
                .any(|target| target.kept.exists() || target.swap.staging.exists());
        if !is_taken {
            break (id, targets);
        }
        second += 1;
    };
    if targets.is_empty() {
        return Err(refuse(anyhow::anyhow!("nothing was there before it")).into());
    }
    let new = restored
        .replaced
        .iter()
        .filter(|replaced| replaced.before == Before::Nothing);
    let mut warnings: Vec<String> = new
        .map(|replaced| format!("{} was not there before: it stays as it is", replaced.what))
        .collect();
    for name in &restored.new_volumes {
        let what = format!("volume `{name}`");
        if !warnings.iter().any(|warning| warning.starts_with(&what)) {
            warnings.push(format!("{what} was made by the restore: it stays"));
        }
    }
    Ok(Plan {
        restore_id: id,
        undoes: restored.id,
        unit: restored.unit.clone(),
        targets,
        stops: Vec::new(),
        warnings,
    })
}

/// `None` for what was not there before.
fn plan_one(
    replaced: &Replaced,
    restored: &Restored,
    all: &[Restored],
    mounts: &MountTable,
    id: BackupId,
) -> Result<Option<TargetPlan>> {
    let target = &replaced.target;
    let (from, empty) = match &replaced.before {
        Before::Nothing => return Ok(None),
        Before::Empty { attributes } => (None, Some(attributes.clone())),
        Before::Kept { path, inode } => {
            match state(path, *inode)? {
                State::Kept => {}
                State::Gone => anyhow::bail!("what was kept in `{}` is gone", path.display()),
                _ => anyhow::bail!("what was kept in `{}` was replaced by hand", path.display()),
            }
            (Some(path.clone()), None)
        }
    };
    if inode(target)? != Some(replaced.inode) {
        anyhow::bail!(
            "`{}` is not what that restore put there: a later restore, or somebody, replaced it",
            target.display()
        );
    }
    let later = all.iter().find(|other| {
        other.id > restored.id && other.replaced.iter().any(|it| it.target == *target)
    });
    // The folder is the same through all restores: its number tells nothing.
    if let (Some(later), Some(_)) = (later, &replaced.root) {
        anyhow::bail!("restore {} of {} came later", later.id, replaced.what);
    }
    let looked = target::look(target, mounts, &Forbidden::default())?;
    let mut swap = match &replaced.root {
        Some(_) => Swap::within(replaced.what.clone(), target.clone(), id, replaced.inode),
        None if looked.fixed.is_some() => {
            anyhow::bail!("`{}` can't be renamed any more", target.display())
        }
        None => Swap::new(replaced.what.clone(), target.clone(), id),
    };
    swap.key.clone_from(&replaced.key);
    swap.copy.clone_from(&from);
    if let Some(within) = &mut swap.within {
        within.new_root.clone_from(&replaced.root);
    }
    Ok(Some(TargetPlan {
        what: replaced.what.clone(),
        target: target.clone(),
        kept: swap.kept.clone(),
        from,
        swap,
        empty,
    }))
}

impl Plan {
    fn swapped(&self) -> Vec<Swapped> {
        let sources = self.targets.iter().filter_map(|target| {
            Some(Swapped {
                key: target.swap.key.clone()?,
                path: target.target.clone(),
            })
        });
        sources.collect()
    }

    fn question(&self) -> String {
        let what = format!("Take back restore {} of `{}`", self.undoes, self.unit);
        if self.stops.is_empty() {
            return format!("{what}?");
        }
        let stopped = text::count(self.stops.len(), "container");
        format!("{what}, with {stopped} stopped for a moment?")
    }

    fn show(&self, cx: &Context, is_dry: bool) {
        if cx.ui.json {
            if is_dry {
                cx.ui.answer_json(&json!({ "plan": self }));
            } else {
                cx.ui
                    .event(&json!({ "event": "undo_planned", "plan": self }));
            }
            return;
        }
        if is_dry {
            cx.ui.answer(self.text());
        } else {
            cx.ui.say(self.text());
        }
        for warning in &self.warnings {
            cx.ui.warn(warning);
        }
    }

    fn text(&self) -> String {
        let rows = self.targets.iter().map(|target| {
            let from = target.from.as_ref();
            [
                target.what.clone(),
                target.target.display().to_string(),
                from.map_or_else(
                    || "an empty folder".to_owned(),
                    |from| from.display().to_string(),
                ),
            ]
        });
        let stops = if self.stops.is_empty() {
            "No container is stopped.".to_owned()
        } else {
            format!("Stopped for a moment: {}", self.stops.join(", "))
        };
        format!(
            "Taking back restore {} of `{}`\n\n{}\n\n{stops}",
            self.undoes,
            self.unit,
            table::table(["DATA", "TARGET", "COMES BACK"], &[], rows)
        )
    }
}

impl Report {
    fn of(plan: Plan, window: Window<'_>, kept: Vec<Option<PathBuf>>, cx: &Context) -> Self {
        let targets = plan.targets.into_iter().zip(kept);
        let (exit_code, errors) = window.verdict(&cx.shutdown);
        Self {
            restore_id: plan.restore_id,
            undoes: plan.undoes,
            unit: plan.unit,
            targets: targets
                .map(|(target, safety_copy)| TargetReport {
                    what: target.what,
                    target: target.target,
                    safety_copy,
                })
                .collect(),
            downtime_seconds: window.downtime_seconds,
            steps: window.timeline.into_steps(),
            warnings: window.warnings,
            errors,
            still_stopped: window
                .still_stopped
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
            exit_code,
        }
    }

    fn show(&self, cx: &Context) {
        for warning in &self.warnings {
            cx.ui.warn(warning);
        }
        cx.ui
            .event(&json!({ "event": "undo_finished", "report": self }));
        if !cx.ui.json && !cx.ui.quiet {
            cx.ui.answer(self.text());
        }
        for error in &self.errors {
            cx.ui.error(&format!("error: {error}"));
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("Put back {} in `{}`", target.what, target.target.display()))
            .collect();
        if self.downtime_seconds > 0.0 {
            lines.push(format!(
                "Downtime: {}",
                text::seconds(self.downtime_seconds)
            ));
        }
        if self
            .targets
            .iter()
            .any(|target| target.safety_copy.is_some())
        {
            lines.push(String::new());
            lines.push("What was restored is kept:".to_owned());
            lines.extend(advice(self.restore_id));
        }
        lines.join("\n")
    }
}

/// What can be done with the safety copies of `id`.
pub fn advice(id: BackupId) -> [String; 2] {
    [
        format!("  put it back:  kopi-docka restore --undo {id}"),
        format!("  remove it:    kopi-docka restore --discard-safety {id}"),
    ]
}
