//! What an interrupted run left behind: containers that it stopped, a half restore, a half change of the password.

use super::finding::Finding;
use crate::base::files;
use crate::base::lock;
use crate::config::Config;
use crate::context::Context;
use crate::drill;
use crate::drivers::docker::Engine;
use crate::error::{Exit, Result};
use crate::quiesce::RecordFile;
use crate::repository::password;
use crate::restore::undo::{LeftDown, left_down};

pub const AREA: &str = "interrupted";

const RECOVER: &str = "run `kopi-docka recover`";

pub async fn check(cx: &Context, config: Option<&Config>) -> Vec<Finding> {
    // Read first: a run that ends meanwhile takes its records with it.
    let left = left(cx, config);
    // What belongs to a run that is at work is no leftover.
    if let Some(holder) = lock::holder(&cx.paths.runtime) {
        return vec![Finding::ok(AREA, format!("a run is at work: {holder}"))];
    }
    let mut findings = match left {
        Ok(left) if left.is_empty() => vec![Finding::ok(AREA, "no run was interrupted")],
        Ok(left) => left,
        Err(error) => vec![Finding::of_error(AREA, &error)],
    };
    findings.extend(held(cx, config).await);
    findings
}

/// What restores left down on purpose. Where Docker does not answer, another check says so.
async fn held(cx: &Context, config: Option<&Config>) -> Vec<Finding> {
    let default = Config::default();
    let socket = &config.unwrap_or(&default).docker.socket;
    let Ok(engine) = Engine::connect(socket).await else {
        return Vec::new();
    };
    let left = match left_down(&cx.paths.restore_journals(), &engine).await {
        Ok(left) => left,
        Err(error) => return vec![Finding::of_error(AREA, &error)],
    };
    let finding = |left: LeftDown| {
        let message = format!(
            "restore {} left these of `{}` down, since they are not those of its point: {}",
            left.restore,
            left.unit,
            left.containers.join(", ")
        );
        Finding::warning(AREA, message).remedy(format!(
            "bring up the restored program (`docker compose up -d` with the restored files), or take the restore back: `kopi-docka restore --undo {}`",
            left.restore
        ))
    };
    left.into_iter().map(finding).collect()
}

fn left(cx: &Context, config: Option<&Config>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let (records, damaged) = RecordFile::pending(&cx.paths.stop_records())?;
    for RecordFile { record, .. } in records {
        let names: Vec<&str> = record
            .entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        let message = format!(
            "the run {} was interrupted while `{}` was down: {}",
            record.run,
            record.unit,
            names.join(", ")
        );
        findings.push(Finding::failure(AREA, Exit::StillStopped, message).remedy(RECOVER));
    }
    for path in damaged {
        let path = path.display();
        let message = format!("`{path}` is not a stop record this version can read");
        findings.push(
            Finding::failure(AREA, Exit::StillStopped, message).remedy(format!(
                "look for stopped containers (`docker ps -a`), start them, then remove `{path}`"
            )),
        );
    }
    let journals = files::read_all(&cx.paths.restore_journals(), |_| Some(()))?;
    for (path, ()) in journals.good {
        let message = format!("a restore was interrupted (`{}`)", path.display());
        findings.push(Finding::failure(AREA, Exit::UnitsFailed, message).remedy(RECOVER));
    }
    if drill::left_over(&cx.paths) {
        let message = "a drill was interrupted, and what it made is still there";
        findings.push(Finding::warning(AREA, message).remedy(RECOVER));
    }
    if config.is_some_and(|config| password::is_unfinished(&cx.paths, config)) {
        let message = "a change of the repository's password was interrupted";
        findings.push(
            Finding::warning(AREA, message)
                .remedy("run `kopi-docka repo-status`, which finishes or undoes it"),
        );
    }
    Ok(findings)
}
