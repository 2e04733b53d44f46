//! `disaster-recovery`: makes a recovery bundle, or checks one.

mod restore;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::base::text;
use crate::bundle::check::{Checked, Opened, Sealed};
use crate::bundle::{self, Made, Wanted, password};
use crate::context::Context;
use crate::error::{Exit, Failure, Result, render};
use crate::repository::Repository;
use crate::repository::password as repository_password;
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
    pub check: Option<PathBuf>,

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
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
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
    make(cx, &args).await
}

async fn make(cx: &Context, args: &Args) -> Result<u8> {
    cx.require_root("disaster-recovery")?;
    let loaded = cx.config()?;
    let lock = Lock::take(&cx.paths.runtime, "disaster-recovery")?;
    let loaded = repository_password::settle(cx, Some(&lock), loaded)
        .await?
        .loaded;
    let repository = Repository::of(cx, &loaded.config)?;
    let password = password_for(cx, args)?;
    let backup = &loaded.config.backup;
    let folder = args.output.as_ref().unwrap_or(&backup.recovery_bundle_path);
    let wanted = Wanted {
        folder: std::path::absolute(folder)?,
        password,
        write_password: args.write_password_file,
        keep: backup.recovery_bundle_retention,
        copy: backup.recovery_bundle_copy.clone(),
    };
    let making = bundle::make(&cx.paths, &loaded, &repository, wanted);
    let made = cx.shutdown.cut("the recovery bundle", making).await?;
    tell(cx, &made);
    Ok(if made.missing.is_empty() {
        0
    } else {
        Exit::UnitsFailed.code()
    })
}

/// That of this host, or a new one, which is shown at once: whatever fails later, it is the password from now on.
fn password_for(cx: &Context, args: &Args) -> Result<Secret> {
    let file = &cx.paths.recovery_password;
    let new = match password::stored(file)? {
        None => password::create(file)?,
        Some(_) if args.new_password => password::replace(file)?,
        Some(known) => return Ok(known),
    };
    show_new(cx, &new);
    Ok(new)
}

fn show_new(cx: &Context, password: &Secret) {
    let file = cx.paths.recovery_password.display();
    if prompt::is_possible() {
        cx.ui.show_secret(&format!(
            "\nThe recovery password, which opens all bundles that are made from now on. It is shown once:\n\n    {}\n",
            password.expose()
        ));
        cx.ui.say(
            "Write it on paper, and keep it where this host is not. Older bundles keep the password that they were made with.",
        );
    } else {
        cx.ui.warn(format!(
            "a new recovery password was made, which opens all bundles from now on: `{file}`. Keep a copy of it where this host is not"
        ));
    }
}

fn tell(cx: &Context, made: &Made) {
    if cx.ui.json {
        cx.ui.answer_json(made);
    } else {
        cx.ui.answer(format!(
            "Wrote {} ({})",
            made.path.display(),
            text::bytes(made.bytes)
        ));
        cx.ui.say(
            "Copy it to a place that is not this host, with the `.README` beside it. To check a copy: `kopi-docka disaster-recovery --check FILE`",
        );
    }
    if let Some(copy) = &made.copy {
        cx.ui.say(format!("Copied it to {}", copy.display()));
    }
    if let Some(problem) = &made.copy_problem {
        cx.ui.warn(problem);
    }
    for what in &made.missing {
        cx.ui.error(&format!("error: the bundle lacks {what}"));
    }
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
