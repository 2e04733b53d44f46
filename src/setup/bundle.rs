//! Offers the first recovery bundle.

use crate::base::blocking::{aside, looked_up};
use crate::base::lock::Lock;
use crate::base::private_file;
use crate::bundle::{self, Asked, Newest, changed_since, make_by_hand};
use crate::config::{self, Loaded};
use crate::context::Context;
use crate::error::{Result, hints_of};
use crate::ui::prompt;

const COMMAND: &str = "setup";

const LATER: &str = "Later: `kopi-docka disaster-recovery`.";

/// A bundle that cannot be made is no reason for a setup to fail: everything else is done.
pub async fn offer(cx: &Context) -> Result<()> {
    let loaded = cx.config_again()?;
    let backup = &loaded.config.backup;
    let newest = bundle::newest_here(&cx.paths, &loaded.config, &backup.recovery_bundle_path);
    let looking = async { Ok(newest.await) };
    let newest = cx.shutdown.cut("the look at the bundles", looking).await?;
    let has_password = cx.paths.recovery_password.symlink_metadata().is_ok();
    let newest = newest.filter(|_| has_password);
    let question = match &newest {
        Some(newest) if is_complete(cx, &loaded, newest).await? => {
            cx.ui.say(format!(
                "The newest is {}; `kopi-docka disaster-recovery` makes another one.",
                newest.path.display()
            ));
            return Ok(());
        }
        Some(newest) => {
            cx.ui.say(format!(
                "The newest is {}; it does not have what was changed since.",
                newest.path.display()
            ));
            "Make a new recovery bundle?"
        }
        None => {
            cx.ui.say(
                "One encrypted file with all that a new host needs to reach the backups: configuration, passwords, credentials.",
            );
            "Make the first recovery bundle?"
        }
    };
    if !prompt::is_possible() {
        cx.ui.say(LATER);
        return Ok(());
    }
    if !prompt::is_wanted(question, &cx.shutdown).await? {
        cx.ui.say(LATER);
        return Ok(());
    }
    let renews = backup.update_recovery_bundle;
    if !renews && prompt::is_wanted("Make a new one after each backup?", &cx.shutdown).await? {
        // Before the bundle, which then has this too.
        match renew(cx) {
            Ok(()) => cx.ui.say("`backup.update_recovery_bundle` is on."),
            Err(error) => go_on(
                cx,
                "`backup.update_recovery_bundle` was not switched on",
                error,
                "`kopi-docka edit-config` switches it on",
            )?,
        }
    }
    let making = make_by_hand(cx, cx.config_again()?, Asked::default(), COMMAND);
    if let Err(error) = making.await {
        return go_on(
            cx,
            "no recovery bundle was made",
            error,
            "when that is fixed, run `kopi-docka disaster-recovery`; its directory is `backup.recovery_bundle_path`",
        );
    }
    cx.ui.say(
        "That place is another machine, or a stick. `kopi-docka disaster-recovery --print` prints the page for a drawer: the password, and \
         what opens the bundle.",
    );
    Ok(())
}

/// A disk that does not answer has changed nothing.
async fn is_complete(cx: &Context, loaded: &Loaded, newest: &Newest) -> Result<bool> {
    let (paths, loaded, made_at) = (cx.paths.clone(), loaded.clone(), newest.made_at);
    let looking = looked_up(aside(move || {
        Ok(changed_since(made_at, &paths, &loaded).is_empty())
    }));
    let looking = async { Ok(looking.await.unwrap_or(true)) };
    cx.shutdown.cut("the look at the bundles", looking).await
}

/// What else the configuration says stays, unknown keys too.
fn renew(cx: &Context) -> Result<()> {
    let _lock = Lock::take(&cx.paths.runtime, COMMAND)?;
    let path = cx.config_again()?.path;
    let file = private_file::place(&path)?;
    let mut document = config::document_of(&std::fs::read(&file)?)?;
    config::renew_bundles(&mut document);
    let text = config::text_of(&document)?;
    config::check(&cx.paths, &path, &text)?;
    private_file::replace(&file, &text)
}

/// Tells what failed, and goes on; not after a signal.
fn go_on(cx: &Context, what: &str, error: anyhow::Error, last: &str) -> Result<()> {
    if prompt::is_end(&error) {
        return Err(error);
    }
    cx.ui.warn(format!("{what}: {error:#}"));
    for hint in hints_of(&error).iter().map(String::as_str).chain([last]) {
        cx.ui.say(format!("hint: {hint}"));
    }
    Ok(())
}
