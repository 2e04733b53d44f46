//! All of `setup`, in order. Each step first looks whether it is done, so that a second run goes on where the first one ended.

use super::configuration::new_configuration;
use super::write::Written;
use crate::commands::dry_run;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::kopia::Opens;
use crate::lock::Lock;
use crate::password;
use crate::repository::Repository;
use crate::tool;

/// What the operator does not want to have touched.
pub struct Skipped {
    pub programs: bool,
    pub repository: bool,
}

/// The exit code is that of the look at what will be saved.
pub async fn run(cx: &Context, force: bool, skipped: Skipped) -> Result<u8> {
    let mut written = None;
    let done = steps(cx, force, &skipped, &mut written).await;
    // However it ended: it is shown nowhere else.
    if let Some(written) = &written {
        written.show_password(cx);
    }
    let code = done?;
    let last = if skipped.repository {
        "Next: `kopi-docka init`, then `kopi-docka backup`"
    } else {
        "Next: `kopi-docka backup`, the first backup; `kopi-docka backup --unit NAME` for one unit alone"
    };
    cx.ui.say(last);
    Ok(code)
}

async fn steps(
    cx: &Context,
    force: bool,
    skipped: &Skipped,
    written: &mut Option<Written>,
) -> Result<u8> {
    heading(cx, "Programs");
    if skipped.programs {
        cx.ui.say("Skipped.");
    } else {
        programs()?;
        cx.ui.say("kopia and tar are here.");
    }
    heading(cx, "Configuration");
    *written = configuration(cx, force).await?;
    heading(cx, "Repository");
    if skipped.repository {
        cx.ui.say("Skipped.");
    } else {
        repository(cx).await?;
    }
    heading(cx, "What a backup will save");
    dry_run::show(cx, &[]).await
}

fn heading(cx: &Context, what: &str) {
    cx.ui.say(format!("\n== {what}"));
}

fn programs() -> Result<()> {
    for program in ["kopia", "tar"] {
        tool::find(program, "install it, then run `kopi-docka setup` again")?;
    }
    Ok(())
}

/// One that is there and valid is left alone, unless another one is wanted.
async fn configuration(cx: &Context, force: bool) -> Result<Option<Written>> {
    let is_there = cx.config_target()?.symlink_metadata().is_ok();
    if is_there && !force {
        let loaded = cx.config()?;
        loaded.config.password()?;
        cx.ui.say(format!(
            "{} is there and valid; `--force` asks for another one.",
            loaded.path.display()
        ));
        return Ok(None);
    }
    let written = new_configuration(cx, force).await?;
    written.tell(cx);
    Ok(Some(written))
}

async fn repository(cx: &Context) -> Result<()> {
    let lock = Lock::take(&cx.paths.runtime, "setup")?;
    let loaded = password::settle(cx, Some(&lock), cx.config_again()?)
        .await?
        .loaded;
    let repository = Repository::of(cx, &loaded.config)?;
    let (what, status) = repository.init(false).await?;
    cx.ui.say(format!(
        "{} {} as {}.",
        what.sentence(),
        status.location(),
        repository.kopia.identity()
    ));
    // Past what is remembered here: as another host would connect, with the stored password.
    if repository.kopia.opens().await? != Opens::Yes {
        let what = "the repository does not open with the configured password";
        return Err(Failure::new(Exit::WrongPassword, what)
            .hint("run `kopi-docka change-password`")
            .into());
    }
    cx.ui
        .say("A new connection to it works, with the configured password.");
    Ok(())
}
