//! `change-password`: a new password for the repository, stored where the old one was.

use std::path::PathBuf;

use serde_json::json;

use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::bundle;
use crate::config;
use crate::context::Context;
use crate::drivers::kopia::Opens;
use crate::error::{Exit, Failure, Result};
use crate::model::report::BundleReport;
use crate::recovery;
use crate::repository::Repository;
use crate::repository::password::{self, Settled};
use crate::ui::prompt;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Read the new password from this file instead of prompting
    ///
    /// The file must be readable by its owner only; a trailing newline is not part of the password. A password is never taken from the
    /// command line, where every user of the host could see it.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("change-password")?;
    recovery::bring_up_or_tell(cx).await?;
    let lock = Lock::take(&cx.paths.runtime, "change-password")?;
    let Settled { loaded, is_changed } = password::settle(cx, Some(&lock), cx.config()?).await?;
    let old = loaded.config.password()?;
    let repository = Repository::of(cx, &loaded.config)?;
    let status = repository.open().await?;
    if repository.kopia.opens().await? != Opens::Yes {
        let what = "the repository does not open with the configured password";
        return Err(Failure::new(Exit::WrongPassword, what)
            .hint("run `kopi-docka repo-status`")
            .into());
    }
    let new = match &args.new_password_file {
        Some(file) => config::read_password_file(file)?,
        None => ask(cx).await?,
    };
    let place = match &loaded.config.kopia.password_file {
        Some(file) => file.clone(),
        None => loaded.path.clone(),
    };
    if new != old {
        password::change(cx, &lock, loaded, &new).await?;
    } else if !is_changed {
        let what = "the new password is the old one: nothing was changed";
        return Err(Failure::new(Exit::Usage, what).into());
    }
    if !cx.ui.json {
        cx.ui.answer(format!(
            "The password of the repository in {} is changed, and stored in {}",
            status.location(),
            place.display()
        ));
    }
    cx.ui.say("note: other hosts that use this repository need the new password too; keep a copy of it somewhere else");
    // Bundles of this host may be anywhere: it is said to everybody.
    let bundle = renew_bundle(cx).await;
    if cx.ui.json {
        cx.ui.answer_json(&json!({
            "result": "changed", "location": status.location(), "stored_in": place,
            "recovery_bundle": bundle.as_ref().ok(),
        }));
    }
    let lacks = "cannot open the repository any more";
    Ok(bundle::tell_outdated(cx, lacks, bundle?.as_ref()))
}

/// With the new password, where bundles are made by themselves.
async fn renew_bundle(cx: &Context) -> Result<Option<BundleReport>> {
    let loaded = cx.config_again()?;
    if !loaded.config.backup.update_recovery_bundle {
        return Ok(None);
    }
    let renewing = async { Ok(Some(bundle::renew(cx, &loaded).await)) };
    cx.shutdown.cut("the recovery bundle", renewing).await
}

async fn ask(cx: &Context) -> Result<Secret> {
    if !prompt::is_possible() {
        let what = "cannot prompt for the new password: not running on a terminal";
        return Err(Failure::new(Exit::Usage, what)
            .hint("say `--new-password-file FILE`")
            .into());
    }
    let check = |text: &str| config::check_new_password(text);
    let new = prompt::secret("New password", "The same again", check, &cx.shutdown).await?;
    Ok(Secret::new(new))
}
