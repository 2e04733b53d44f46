//! `disaster-recovery`: makes a recovery bundle, checks one, prints what is kept on paper, or uses one on a new host ([`mod@restore`]).

mod restore;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::secret::Secret;
use crate::base::text;
use crate::bundle::check::{Checked, Opened, Sealed};
use crate::bundle::paper::page::Page;
use crate::bundle::{Asked, make_by_hand, password};
use crate::context::Context;
use crate::error::{Exit, Failure, Result, render};
use crate::ui::prompt;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the bundle to this directory [default: `backup.recovery_bundle_path`]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Also write the recovery password beside the bundle
    #[arg(long)]
    write_password_file: bool,

    /// Make another recovery password; older bundles keep theirs
    #[arg(long)]
    new_password: bool,

    /// Check this bundle instead: that every byte of it is as it was written, and what is in it
    #[arg(
        long,
        value_name = "BUNDLE",
        conflicts_with_all = ["output", "write_password_file", "new_password"]
    )]
    check: Option<PathBuf>,

    /// Use this bundle on a new host: try the connection, put its files in place, connect, list the restore points
    #[arg(
        long,
        value_name = "BUNDLE",
        conflicts_with_all = ["check", "output", "write_password_file", "new_password"]
    )]
    restore: Option<PathBuf>,

    #[command(flatten)]
    on_new_host: restore::Args,

    /// File with the recovery password [default: `KOPI_DOCKA_RECOVERY_PASSWORD`, then the password of this host, then ask]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "write_password_file", "new_password"])]
    password_file: Option<PathBuf>,

    /// Print a page for a safe place instead: the recovery password, also as a QR code, and the commands that open a bundle
    ///
    /// It fits one sheet of A4 or Letter, and may be piped: `kopi-docka disaster-recovery --print | lp`. On a dark terminal the QR
    /// code is inverted, and not every reader takes that.
    #[arg(
        long,
        conflicts_with_all = ["output", "write_password_file", "new_password", "check", "restore", "password_file"]
    )]
    print: bool,
}

impl Args {
    pub fn only_answers(&self) -> bool {
        self.check.is_some() || self.print
    }
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.print {
        return print(cx).await;
    }
    let password_file = args.password_file.as_deref();
    if let Some(bundle) = &args.check {
        return check(cx, bundle, password_file).await;
    }
    if let Some(bundle) = &args.restore {
        let (opened, _) = opened(cx, bundle, password_file).await?;
        return restore::run(cx, &args.on_new_host, &opened).await;
    }
    if password_file.is_some() {
        let what = "`--password-file` goes with `--check` or `--restore`";
        return Err(Failure::new(Exit::Usage, what).into());
    }
    make(cx, args).await
}

async fn make(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("disaster-recovery")?;
    let loaded = cx.config()?;
    let asked = Asked {
        folder: args.output,
        write_password: args.write_password_file,
        new_password: args.new_password,
    };
    let made = make_by_hand(cx, loaded, asked, "disaster-recovery").await?;
    Ok(if made.missing.is_empty() {
        0
    } else {
        Exit::UnitsFailed.code()
    })
}

async fn print(cx: &Context) -> Result<u8> {
    cx.require_root("disaster-recovery --print")?;
    if cx.ui.json {
        let what = "`--print` makes a page of text, which is no JSON";
        return Err(Failure::new(Exit::Usage, what)
            .hint("run it without `--json`")
            .into());
    }
    let page = cx.shutdown.cut("the page", Page::of(cx)).await?;
    cx.ui.answer_secret(page.text().expose())?;
    Ok(0)
}

async fn check(cx: &Context, bundle: &Path, password_file: Option<&Path>) -> Result<u8> {
    match opened(cx, bundle, password_file).await {
        Ok((opened, is_proven)) => {
            let checked = opened.shown();
            if cx.ui.json {
                let mut document = json!({ "ok": true, "problem": null });
                if let (Some(document), serde_json::Value::Object(checked)) =
                    (document.as_object_mut(), serde_json::to_value(&checked)?)
                {
                    document.extend(checked);
                }
                cx.ui.answer_json(&document);
            } else {
                show(cx, &checked);
            }
            if !is_proven {
                cx.ui.say("note: its `.README` is not beside it; without it a wrong password looks like damage");
            }
            Ok(0)
        }
        Err(error) => {
            if cx.ui.json {
                let problem = render(&error);
                cx.ui
                    .answer_json(&json!({ "ok": false, "problem": problem.trim_end() }));
            }
            Err(error)
        }
    }
}

async fn opened(
    cx: &Context,
    bundle: &Path,
    password_file: Option<&Path>,
) -> Result<(Opened, bool)> {
    let sealed = Sealed::read(bundle)?;
    let password = known_password(cx, password_file).await?;
    Ok((sealed.open(&password)?, sealed.is_proven))
}

async fn known_password(cx: &Context, file: Option<&Path>) -> Result<Secret> {
    if let Some(file) = file {
        return password::read(file);
    }
    if let Ok(text) = std::env::var(password::VARIABLE)
        && !text.is_empty()
    {
        return Ok(Secret::new(text));
    }
    // Of another user's command it is as good as not there.
    if rustix::process::geteuid().is_root()
        && let Some(known) = password::stored(&cx.paths.recovery_password)?
    {
        return Ok(known);
    }
    if !prompt::is_possible() {
        return Err(Failure::new(
            Exit::Usage,
            "cannot prompt for the recovery password: not running on a terminal",
        )
        .hint(format!(
            "give it with `--password-file FILE`, or in `{}`",
            password::VARIABLE
        ))
        .into());
    }
    prompt::known_secret("Recovery password", |_| Ok(()), &cx.shutdown).await
}

fn show(cx: &Context, checked: &Checked) {
    let versions = &checked.versions;
    let docker = versions.docker.as_deref().unwrap_or("unknown");
    for (what, value) in [
        (
            "Made",
            checked.made_at.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        ),
        ("Host", checked.host.clone()),
        ("Repository", checked.repository.clone()),
        (
            "Versions",
            format!(
                "kopi-docka {}, Kopia {}, Docker {docker}",
                versions.kopi_docka, versions.kopia
            ),
        ),
        (
            "Units",
            checked
                .units
                .iter()
                .map(|unit| format!("{} ({})", unit.unit, unit.backup_id))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("Files", checked.members.len().to_string()),
    ] {
        cx.ui
            .answer(format!("{what:<11} {}", text::printable(&value)));
    }
    cx.ui
        .answer("The bundle is whole, and this password opens it.");
}
