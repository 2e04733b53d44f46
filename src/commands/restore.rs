//! `restore`: brings a restore point back to where it was.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap_complete::ArgValueCompleter;
use serde_json::json;
use tracing::info;

use crate::base::text;
use crate::completion;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::logging;
use crate::model::UnitName;
use crate::points::choose::Which;
use crate::restore::all::Wanted;
use crate::restore::apply::report::RestoreReport;
use crate::restore::apply::reporter;
use crate::restore::by_hand;
use crate::restore::contents::Search;
use crate::restore::events::Event;
use crate::restore::plan::doors::{self, Doors, HOW};
use crate::restore::request::{self, Destination, Request, What};
use crate::restore::request::{BringUp, OtherImages};
use crate::restore::{self, Plan, Session, time, undo as safety, wizard};
use crate::ui::prompt;

const WHAT: &str = "What";
const WHERE: &str = "Where to";
const INSTEAD: &str = "Instead of restoring";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Unit to restore
    #[arg(long, help_heading = WHAT, value_name = "UNIT", add = ArgValueCompleter::new(completion::saved_units))]
    unit: Option<UnitName>,

    /// Restore every unit that has restore points
    #[arg(long, help_heading = WHAT, conflicts_with_all = ["unit", "backup_id", "volumes", "recipe", "target", "scripts", "safety"])]
    all: bool,

    /// Leave out this unit (can be repeated)
    #[arg(long, help_heading = WHAT, value_name = "UNIT", requires = "all", add = ArgValueCompleter::new(completion::saved_units))]
    except: Vec<UnitName>,

    /// Restore point: an ID, or `latest` for the newest whole one
    #[arg(long, help_heading = WHAT, value_name = "ID|latest", add = ArgValueCompleter::new(completion::backup_ids))]
    backup_id: Option<Which>,

    /// Use the newest whole restore point older than this date, or date and time
    #[arg(long, help_heading = WHAT, value_name = "TIME", value_parser = time::parse, conflicts_with = "backup_id")]
    before: Option<DateTime<Utc>>,

    /// Only this volume, or the bind mount of this path (can be repeated)
    #[arg(long = "volume", help_heading = WHAT, value_name = "VOLUME", add = ArgValueCompleter::new(completion::volumes))]
    volumes: Vec<String>,

    /// Only this file or directory, by its path in the one `--volume` (can be repeated)
    #[arg(long = "path", help_heading = WHAT, value_name = "PATH", requires = "volumes")]
    paths: Vec<PathBuf>,

    /// Only the compose files and the files they reference, no data
    #[arg(long, help_heading = WHAT, conflicts_with_all = ["volumes", "paths"])]
    recipe: bool,

    /// Restore to this directory: with `--volume` as plain directories, else as the new home of the unit
    #[arg(long, help_heading = WHERE, value_name = "DIR")]
    target: Option<PathBuf>,

    /// Create a copy of the unit under this name, with its files in `--target`
    #[arg(long, help_heading = WHERE, value_name = "NAME", value_parser = request::project_name, requires = "target")]
    project: Option<UnitName>,

    /// Use the restore points of another host
    #[arg(long, help_heading = WHAT, value_name = "HOST", add = ArgValueCompleter::new(completion::hosts))]
    host: Option<String>,

    /// Start the unit after the restore: `docker compose up -d`, or its container
    #[arg(long, help_heading = HOW, conflicts_with = "volumes")]
    up: bool,

    /// Use another image of the same name if a saved one is no longer available; its version may not fit the data
    #[arg(long, help_heading = HOW, conflicts_with = "volumes")]
    other_images: bool,
    #[command(flatten)]
    doors: doors::Args,

    #[command(flatten)]
    safety: safety::Args,

    /// List the content of the restore point: everything, or what has this in its path, or names that match `*.odt`
    #[arg(
        long, help_heading = INSTEAD, value_name = "PATH", num_args = 0..=1, default_missing_value = "",
        conflicts_with_all = ["all", "paths", "recipe", "target", "up", "scripts", "dry_run", "safety"]
    )]
    list: Option<String>,

    /// Do not ask for confirmation
    #[arg(short, long, help_heading = HOW)]
    yes: bool,

    /// Write shell scripts, the recipe and a README to this new directory
    #[arg(long, help_heading = INSTEAD, value_name = "DIR", conflicts_with_all = ["dry_run", "up", "target", "paths", "recipe"])]
    scripts: Option<PathBuf>,

    /// Show the plan and change nothing
    #[arg(long, help_heading = INSTEAD)]
    dry_run: bool,
}

impl Args {
    /// Whether nothing is restored.
    pub fn only_answers(&self) -> bool {
        self.dry_run || self.list.is_some() || self.safety.only_answers()
    }

    /// `None` when the flags leave it open what is wanted.
    fn request(&self) -> Result<Option<Request>> {
        let what = What::of_flags(self.volumes.clone(), self.paths.clone(), self.recipe)?;
        let to = Destination::of_flags(self.target.clone(), self.project.clone(), &what)?;
        let which = self.backup_id.clone().or(self.before.map(Which::Before));
        let (Some(unit), Some(which)) = (self.unit.clone(), which) else {
            if self.list.is_some()
                || what != What::Unit
                || to != Destination::InPlace
                || self.scripts.is_some()
            {
                return Err(Failure::new(Exit::Usage, "which restore point?")
                    .hint("give `--unit UNIT` and `--backup-id ID`, `--backup-id latest` or `--before TIME`, or no option to be prompted")
                    .into());
            }
            return Ok(None);
        };
        Ok(Some(Request {
            unit,
            which,
            what,
            to,
            host: self.host.clone(),
            doors: self.doors()?,
            bring_up: self.bring_up(),
            other_images: self.other_images(),
        }))
    }

    fn wanted(&self) -> Result<Wanted> {
        Ok(Wanted {
            which: self.before.map_or(Which::Latest, Which::Before),
            host: self.host.clone(),
            except: self.except.clone(),
            doors: self.doors()?,
            bring_up: self.up,
            other_images: self.other_images(),
            is_dry: self.dry_run,
            is_agreed: self.yes,
        })
    }

    fn doors(&self) -> Result<Doors> {
        self.doors.doors(!self.yes && prompt::is_possible())
    }

    fn other_images(&self) -> OtherImages {
        match (self.other_images, self.yes) {
            (true, _) => OtherImages::Yes,
            (false, false) if prompt::is_possible() => OtherImages::Ask,
            (false, _) => OtherImages::No,
        }
    }

    fn bring_up(&self) -> BringUp {
        match (self.up, self.yes) {
            (true, _) => BringUp::Yes,
            (false, true) => BringUp::No,
            (false, false) => BringUp::Ask,
        }
    }
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("restore")?;
    let mode = match (args.dry_run, args.yes) {
        (true, _) => safety::Mode::DryRun,
        (_, true) => safety::Mode::Yes,
        _ => safety::Mode::Ask,
    };
    if let Some(code) = safety::run(cx, args.safety, args.unit.clone(), mode).await? {
        return Ok(code);
    }
    if args.all {
        return restore::all::run(cx, &args.wanted()?).await;
    }
    let by_flags = args.request()?;
    if let (Some(search), Some(request)) = (&args.list, &by_flags) {
        let search = Search::parse(search)
            .map_err(|error| Failure::new(Exit::Usage, format!("{error:#}")))?;
        return restore::contents::run(cx, request, search).await;
    }
    if by_flags.is_none() && (cx.ui.json || args.yes || !prompt::is_possible()) {
        return Err(Failure::new(Exit::Usage, "what should be restored?")
            .hint("`kopi-docka restore --unit UNIT --backup-id latest`, with `--dry-run` to see the plan first")
            .hint("`kopi-docka restore --all` restores every unit of this host")
            .hint("`kopi-docka list --snapshots` lists the restore points")
            .hint("on a terminal `kopi-docka restore` prompts")
            .into());
    }
    if let (Some(folder), Some(request)) = (&args.scripts, &by_flags) {
        return by_hand::scripts::run(cx, request, folder).await;
    }
    let session = Session::open(cx, args.dry_run).await?;
    let request = match by_flags {
        Some(request) => request,
        None => {
            let (unit, host) = (args.unit.clone(), args.host.as_deref());
            let start = (args.bring_up(), args.other_images());
            wizard::ask(&session, unit, host, start, args.doors()?).await?
        }
    };
    if let (What::Recipe, Destination::Folder(folder)) = (&request.what, &request.to) {
        drop(session);
        return by_hand::recipe_folder::run(cx, &request, folder, args.dry_run).await;
    }
    let planning = async {
        if args.yes && !args.dry_run {
            session.plan_to_apply(&request).await
        } else {
            session.plan(&request).await
        }
    };
    let planned = cx.shutdown.cut("the restore", planning).await?;
    let short = match request.doors.check_space(&planned.plan) {
        Err(short) if args.yes || args.dry_run || cx.ui.json || !prompt::is_possible() => {
            return Err(short);
        }
        Err(short) => Some(short),
        Ok(()) => None,
    };
    show(cx, &planned.plan, args.dry_run);
    if args.dry_run {
        return Ok(0);
    }
    if let Some(question) = planned.plan.question_of_power() {
        prompt::confirm(&question, "--allow-path", &cx.shutdown).await?;
    }
    if let Some(short) = short {
        let question = format!("{short:#}. Restore anyway?");
        prompt::confirm(&question, "--ignore-space", &cx.shutdown).await?;
    }
    if !args.yes && !planned.plan.is_empty() {
        let question = question(&planned.plan);
        prompt::confirm(&question, "--yes", &cx.shutdown).await?;
    }
    let plan = &planned.plan;
    info!(target: logging::FILE, "restores `{}` from {}", plan.unit, plan.backup_id);
    let report = restore::apply(&session, planned, &request.doors).await?;
    tell(cx, &report);
    Ok(report.exit_code)
}

/// What was done, and what went wrong after the data was in place.
fn tell(cx: &Context, report: &RestoreReport) {
    for line in reporter::report_text(report).lines() {
        info!(target: logging::FILE, "{line}");
    }
    for warning in &report.warnings {
        cx.ui.warn(warning);
    }
    cx.ui.event(&Event::RestoreFinished { report });
    if !cx.ui.json && !cx.ui.quiet {
        cx.ui.answer(reporter::report_text(report));
    }
    if let Some(said) = reporter::left_behind(report.safety_copies()) {
        cx.ui.warn(said);
    }
    for error in &report.errors {
        cx.ui.error(&format!("error: {error}"));
    }
}

fn show(cx: &Context, plan: &Plan, is_dry: bool) {
    if cx.ui.json {
        if is_dry {
            cx.ui.answer_json(&json!({"plan": plan}));
        } else {
            cx.ui.event(&Event::RestorePlanned { plan });
        }
        return;
    }
    let plan_text = reporter::plan_text(plan);
    if is_dry {
        cx.ui.answer(plan_text);
    } else {
        cx.ui.say(plan_text);
    }
    for warning in &plan.warnings {
        cx.ui.warn(warning);
    }
}

fn question(plan: &Plan) -> String {
    let what = text::count(plan.sources.len(), "source");
    if plan.stops.is_empty() {
        format!("Restore {what} of `{}`?", plan.unit)
    } else {
        let stopped = text::count(plan.stops.len(), "container");
        format!(
            "Restore {what} of `{}`, with {stopped} stopped for a moment?",
            plan.unit
        )
    }
}
