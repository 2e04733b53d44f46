//! `disaster-recovery --restore`: a bundle on a new host.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::lock::Lock;
use crate::base::private_file;
use crate::base::text;
use crate::bundle::SavedUnit;
use crate::bundle::check::Opened;
use crate::bundle::new_host::place::{Now, Place};
use crate::bundle::new_host::reach::{Outfit, Wish, is_timed};
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::points::choose::Which;
use crate::repository::Repository;
use crate::restore::all;
use crate::restore::plan::doors::Doors;
use crate::restore::request::OtherImages;
use crate::ui::prompt;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Replace files that differ; a copy of each is kept beside it
    #[arg(long, requires = "restore")]
    force: bool,

    /// This host replaces the one of the bundle: it gets its name, its restore points and its maintenance of the repository
    #[arg(long, requires = "restore")]
    take_over: bool,

    /// The repository is at another address now (as in `kopia.kopia_params`)
    #[arg(long, value_name = "PARAMS", requires = "restore")]
    at: Option<String>,

    /// Do not ask for confirmation
    #[arg(short, long, requires = "restore")]
    yes: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    result: &'a str,
    unique_id: &'a str,
    /// As whom this host is connected.
    identity: String,
    /// The one of the bundle.
    host: &'a str,
    taken_over: bool,
    config: &'a Path,
    /// Copies of what was replaced.
    kept: Vec<PathBuf>,
    units: &'a [SavedUnit],
}

pub async fn run(cx: &Context, args: &Args, opened: &Opened) -> Result<u8> {
    cx.require_root("disaster-recovery --restore")?;
    let lock = Lock::take(&cx.paths.runtime, "disaster-recovery")?;
    let origin = &opened.origin;
    let wish = Wish {
        at: args.at.clone(),
        takes_over: args.take_over,
        config_file: cx.named_config()?,
    };
    let outfit = Outfit::of(&cx.paths, opened, wish)?;
    let address = outfit.loaded.config.kopia.kopia_params.masked();
    cx.ui
        .say(format!("Connecting to: {}", text::printable(&address)));
    let units = cx.shutdown.cut("the connection", outfit.prove()).await?;
    let connection = cx
        .shutdown
        .cut("the connection", other_connection(cx, &outfit))
        .await?;
    agree(cx, args, &outfit, connection.as_deref()).await?;
    let mut kept = Vec::new();
    for place in outfit.files.iter().chain(&outfit.state) {
        kept.extend(put(cx, place)?);
    }
    let repository = Repository::to_connect(&cx.paths, &outfit.loaded.config)?;
    if let Some(connection) = &connection {
        kept.push(private_file::keep_copy(connection)?);
    }
    let joining = repository.join(&origin.repository.unique_id);
    cx.shutdown.cut("the connection", joining).await?;
    kept.extend(put(cx, &outfit.config)?);
    if args.take_over
        && let Err(error) = repository.kopia.own_maintenance().await
    {
        cx.ui.warn(format!(
            "this host could not take over the maintenance of the repository: {error:#}"
        ));
    }
    let report = Report {
        result: "connected",
        unique_id: &origin.repository.unique_id,
        identity: repository.kopia.identity().to_string(),
        host: &origin.host,
        taken_over: args.take_over,
        config: &outfit.config.path,
        kept,
        units: &units,
    };
    tell(cx, args, opened, &report);
    drop(lock);
    go_on(cx, args, &report).await
}

/// Kopia's connection of this host, when it is there and leads elsewhere.
async fn other_connection(cx: &Context, outfit: &Outfit<'_>) -> Result<Option<PathBuf>> {
    let repository = Repository::to_connect(&cx.paths, &outfit.loaded.config)?;
    let profile = repository.kopia.profile().to_owned();
    if profile.symlink_metadata().is_err() {
        return Ok(None);
    }
    let status = repository.kopia.status().await;
    let leads_there =
        status.is_ok_and(|status| status.unique_id == outfit.origin().repository.unique_id);
    Ok((!leads_there).then_some(profile))
}

/// Nothing that differs is replaced, and no other host's name taken, without a yes.
async fn agree(
    cx: &Context,
    args: &Args,
    outfit: &Outfit<'_>,
    connection: Option<&Path>,
) -> Result<()> {
    let mut differ = Vec::new();
    for place in outfit.places() {
        if place.now()? == Now::Different {
            differ.push(place.path.as_path());
        }
    }
    differ.extend(connection);
    if !differ.is_empty() {
        let list: String = differ
            .iter()
            .map(|path| format!("\n  {}", text::printable(&path.to_string_lossy())))
            .collect();
        let what = format!("these are there already, and differ from the bundle:{list}");
        if args.force || args.yes {
            cx.ui.say(what);
        } else if prompt::is_possible() {
            cx.ui.say(what);
            let question = "Replace them? A copy of each is kept beside it.";
            prompt::confirm(question, "--force", &cx.shutdown).await?;
        } else {
            return Err(Failure::new(Exit::Declined, what)
                .hint("replace them with `--force`; a copy of each is kept beside it")
                .hint("nothing was changed")
                .into());
        }
    }
    if args.take_over && !args.yes {
        let host = &outfit.origin().host;
        let question = format!(
            "Is the host `{host}` gone for good? Two hosts that save under one name harm each other's restore points."
        );
        if !prompt::is_possible() {
            return Err(Failure::new(
                Exit::Declined,
                "not on a terminal, and `--take-over` needs an answer: is that host gone for good?",
            )
            .hint("say `--yes` to agree")
            .hint("nothing was changed")
            .into());
        }
        prompt::confirm(&question, "--yes", &cx.shutdown).await?;
    }
    Ok(())
}

fn put(cx: &Context, place: &Place) -> Result<Option<PathBuf>> {
    let is_new = place.now()? != Now::Same;
    let kept = place.put()?;
    if is_new {
        let path = place.path.to_string_lossy();
        cx.ui.say(format!("Put {}", text::printable(&path)));
    }
    if let Some(kept) = &kept {
        cx.ui.say(format!(
            "Kept what was there as {}",
            text::printable(&kept.to_string_lossy())
        ));
    }
    Ok(kept)
}

fn tell(cx: &Context, args: &Args, opened: &Opened, report: &Report<'_>) {
    if cx.ui.json {
        cx.ui.answer_json(report);
        return;
    }
    let host = report.host;
    cx.ui.answer(format!(
        "Connected to the repository {} as {}. The newest restore points of `{host}`:",
        report.unique_id, report.identity
    ));
    for unit in report.units {
        cx.ui.answer(format!("  {}  {}", unit.unit, unit.backup_id));
    }
    if report.units.is_empty() {
        cx.ui.answer("  none");
    }
    if is_timed(opened) {
        cx.ui.say("note: the timer was enabled on the lost host; when all is back: `kopi-docka write-units`, then `systemctl enable --now kopi-docka.timer`");
    }
    if args.at.is_some() {
        cx.ui
            .warn("what else names the old address is not changed: look at the configuration");
    }
    cx.ui.say(
        "note: when this host saves by itself, make a bundle of its own: `kopi-docka disaster-recovery`",
    );
}

/// On a terminal the restore may begin at once; elsewhere its command is said.
async fn go_on(cx: &Context, args: &Args, report: &Report<'_>) -> Result<u8> {
    let host = report.host;
    if report.units.is_empty() {
        return Ok(0);
    }
    let is_in_force = cx.config_target().is_ok_and(|file| file == report.config);
    if is_in_force && !args.yes && !cx.ui.json && prompt::is_possible() {
        let question = format!("Restore all units of `{host}` now? The plan is shown first.");
        if prompt::is_wanted(&question, &cx.shutdown).await? {
            return all::run(cx, &everything_of(host)).await;
        }
    }
    let named = match report.config.to_str() {
        Some(crate::config::SYSTEM_FILE) => String::new(),
        _ => {
            let path = report.config.to_string_lossy();
            format!(" --config {}", shell_words::quote(&path))
        }
    };
    let command = format!(
        "kopi-docka{named} restore --all --host {} --up",
        shell_words::quote(host)
    );
    cx.ui.say(format!(
        "Next: see what would be restored with `{command} --dry-run`, then do it with `{command}`"
    ));
    Ok(0)
}

/// As `restore --all --host HOST --up` on a terminal.
fn everything_of(host: &str) -> all::Wanted {
    all::Wanted {
        which: Which::Latest,
        host: Some(host.to_owned()),
        except: Vec::new(),
        doors: Doors {
            can_ask: true,
            ..Doors::default()
        },
        bring_up: true,
        other_images: OtherImages::Ask,
        is_dry: false,
        is_agreed: false,
    }
}
