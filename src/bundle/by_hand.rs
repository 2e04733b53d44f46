//! A bundle that somebody asks for, at a terminal or in a script: makes the recovery password where there is none, and tells what came
//! of it.

use std::path::PathBuf;

use super::make::{Made, Wanted, make};
use super::password;
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::base::text;
use crate::config::Loaded;
use crate::context::Context;
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::password as repository_password;
use crate::ui::prompt;

#[derive(Debug, Default)]
pub struct Asked {
    /// `None`: where the configuration has them.
    pub folder: Option<PathBuf>,
    /// Beside the bundle too.
    pub write_password: bool,
    pub new_password: bool,
}

/// `command` takes the lock.
pub async fn make_by_hand(
    cx: &Context,
    loaded: Loaded,
    asked: Asked,
    command: &str,
) -> Result<Made> {
    let lock = Lock::take(&cx.paths.runtime, command)?;
    let loaded = repository_password::settle(cx, Some(&lock), loaded)
        .await?
        .loaded;
    let repository = Repository::of(cx, &loaded.config)?;
    let password = password_for(cx, asked.new_password)?;
    let backup = &loaded.config.backup;
    let folder = asked
        .folder
        .as_ref()
        .unwrap_or(&backup.recovery_bundle_path);
    let wanted = Wanted {
        folder: std::path::absolute(folder)?,
        password,
        write_password: asked.write_password,
        keep: backup.recovery_bundle_retention,
        copy: backup.recovery_bundle_copy.clone(),
    };
    let making = make(&cx.paths, &loaded, &repository, wanted);
    let made = cx.shutdown.cut("the recovery bundle", making).await?;
    tell(cx, &made);
    Ok(made)
}

/// That of this host, or a new one, which is shown at once: whatever fails later, it is the password from now on.
fn password_for(cx: &Context, is_new: bool) -> Result<Secret> {
    let file = &cx.paths.recovery_password;
    let new = match password::stored(file)? {
        None => password::create(file)?,
        Some(_) if is_new => password::replace(file)?,
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
            "Write it on paper, or print the page that `kopi-docka disaster-recovery --print` makes, and keep it where this host is not. \
             Older bundles keep the password that they were made with.",
        );
    } else {
        cx.ui.warn(format!(
            "a new recovery password was made, which opens all bundles from now on: `{file}`. Print it with `kopi-docka disaster-recovery \
             --print`, and keep it where this host is not"
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
