//! All of `setup`, in order. Each step first looks whether it is done, so that a second run goes on where the first one ended.

use super::bundle;
use super::configuration::new_configuration;
use super::programs::{self, Assent};
use super::timer;
use super::write::Written;
use crate::backup::preview_text;
use crate::base::lock::Lock;
use crate::context::Context;
use crate::drivers::kopia::{Initialized, Opens};
use crate::error::{self, Exit, Failure, Result};
use crate::repository::Repository;
use crate::repository::password;

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
        programs(cx).await?;
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
    let code = preview_text::show(cx, &[]).await?;
    heading(cx, "Every night");
    timer::offer(cx).await?;
    heading(cx, "Recovery bundle");
    if skipped.repository {
        cx.ui.say("Skipped.");
    } else {
        bundle::offer(cx).await?;
    }
    Ok(code)
}

fn heading(cx: &Context, what: &str) {
    cx.ui.say(format!("\n== {what}"));
}

async fn programs(cx: &Context) -> Result<()> {
    // It says where Docker is and which backend it is; without one the usual ones count.
    let loaded = cx.config_again().ok();
    let config = loaded.as_ref().map(|loaded| &loaded.config);
    let (required, optional): (Vec<_>, Vec<_>) = programs::missing(config)
        .await
        .into_iter()
        .partition(|missing| missing.is_required);
    if !required.is_empty() {
        programs::install(cx, config, &required, Assent::Ask).await?;
    }
    cx.ui.say("All required programs are installed.");
    for missing in optional {
        let name = missing.dependency.name();
        cx.ui.say(format!(
            "Optional, not installed: {name}: {}; `kopi-docka install-deps` installs it.",
            missing.why
        ));
    }
    Ok(())
}

/// One that is there and valid is left alone, unless another one is wanted.
async fn configuration(cx: &Context, force: bool) -> Result<Option<Written>> {
    let is_there = cx.config_target()?.symlink_metadata().is_ok();
    if is_there && !force {
        let load = || {
            let loaded = cx.config()?;
            loaded.config.password()?;
            Ok(loaded)
        };
        let loaded = load().map_err(|error: anyhow::Error| {
            Failure::new(error::exit_of(&error), "the configuration that is there cannot be used")
                .hint("`kopi-docka edit-config` fixes it; `kopi-docka setup --force` asks for another one")
                .caused_by(error)
        })?;
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
    let repository = Repository::to_init(cx, &loaded.config)?;
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
    if what != Initialized::Created {
        for warning in Repository::of(cx, &loaded.config)?.strangers().await? {
            cx.ui.warn(warning);
        }
    }
    Ok(())
}
