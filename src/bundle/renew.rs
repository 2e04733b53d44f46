//! A new bundle where the configuration wants one after each run: at the end of a run, and after a change that older ones lack.

use super::file::newest::newest_here;
use super::make::{Wanted, make};
use super::password;
use crate::config::Loaded;
use crate::context::Context;
use crate::error::{Exit, Failure, Result, hints_of};
use crate::model::report::BundleReport;
use crate::repository::{self, Repository};

/// The repository was opened with `loaded` before: a bundle that leads nowhere must not push out one that does.
pub async fn renew(cx: &Context, loaded: &Loaded) -> BundleReport {
    report(write(cx, loaded).await)
}

/// As [`renew`], for who has not opened the repository.
pub async fn open_and_renew(cx: &Context, loaded: &Loaded) -> BundleReport {
    let opening = async {
        Repository::of(cx, &loaded.config)?.open().await?;
        write(cx, loaded).await
    };
    report(opening.await)
}

fn report(written: Result<BundleReport>) -> BundleReport {
    written.unwrap_or_else(|error| BundleReport {
        errors: vec![format!("no recovery bundle was written: {error:#}")],
        hints: hints_of(&error),
        ..BundleReport::default()
    })
}

async fn write(cx: &Context, loaded: &Loaded) -> Result<BundleReport> {
    let backup = &loaded.config.backup;
    // One that is made here would be seen by nobody.
    let password = password::stored(&cx.paths.recovery_password)?.ok_or_else(|| {
        Failure::new(Exit::UnitsFailed, "there is no recovery password yet").hint(
            "run `sudo kopi-docka disaster-recovery` once: it makes the password and shows it",
        )
    })?;
    let repository = Repository::of(cx, &loaded.config)?;
    let wanted = Wanted {
        folder: backup.recovery_bundle_path.clone(),
        password,
        write_password: false,
        keep: backup.recovery_bundle_retention,
        copy: backup.recovery_bundle_copy.clone(),
    };
    let made = make(&cx.paths, loaded, &repository, wanted).await?;
    let lacks = made.missing.iter();
    Ok(BundleReport {
        path: Some(made.path),
        copy: made.copy,
        warnings: made.copy_problem.into_iter().collect(),
        bytes: made.bytes,
        errors: lacks
            .map(|what| format!("the recovery bundle lacks {what}"))
            .collect(),
        hints: Vec::new(),
    })
}

/// Whether bundles of this host are a matter at all: one was made, or is wanted. Not before there is a repository.
pub async fn are_of_interest(cx: &Context, loaded: &Loaded) -> bool {
    let config = &loaded.config;
    if !repository::is_known(&cx.paths, config) {
        return false;
    }
    if config.backup.update_recovery_bundle || cx.paths.recovery_password.symlink_metadata().is_ok()
    {
        return true;
    }
    let folder = &config.backup.recovery_bundle_path;
    newest_here(&cx.paths, config, folder).await.is_some()
}

/// Says what older bundles lack after a change, and what became of the new one, if one is wanted. The exit code of the command.
pub fn tell_outdated(cx: &Context, what_they_lack: &str, new: Option<&BundleReport>) -> u8 {
    let note = format!("note: recovery bundles made before {what_they_lack}");
    let Some(new) = new else {
        cx.ui.say(format!(
            "{note}; make a new one: `sudo kopi-docka disaster-recovery`"
        ));
        return 0;
    };
    match &new.path {
        Some(path) => cx
            .ui
            .say(format!("{note}; wrote a new one: {}", path.display())),
        None => cx.ui.say(note),
    }
    if let Some(copy) = &new.copy {
        cx.ui.say(format!("Copied it to {}", copy.display()));
    }
    for warning in &new.warnings {
        cx.ui.warn(warning);
    }
    for error in &new.errors {
        let hints = new.hints.iter().map(|hint| format!("\nhint: {hint}"));
        let hints: String = hints.collect();
        cx.ui.error(&format!("error: {error}{hints}"));
    }
    if new.errors.is_empty() {
        0
    } else {
        Exit::UnitsFailed.code()
    }
}
