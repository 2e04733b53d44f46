//! What an interrupted run left behind: containers that it stopped, a half restore, a half change of the password.

use super::finding::Finding;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Exit, Result};
use crate::lock;
use crate::password;
use crate::quiesce::RecordFile;
use crate::state;

pub const AREA: &str = "interrupted";

const RECOVER: &str = "run `kopi-docka recover`";

pub async fn check(cx: &Context, config: Option<&Config>) -> Vec<Finding> {
    // Read first: a run that ends meanwhile takes its records with it.
    let left = left(cx, config);
    // What belongs to a run that is at work is no leftover.
    if let Some(holder) = lock::holder(&cx.paths.runtime) {
        return vec![Finding::ok(AREA, format!("a run is at work: {holder}"))];
    }
    match left {
        Ok(left) if left.is_empty() => vec![Finding::ok(AREA, "no run was interrupted")],
        Ok(left) => left,
        Err(error) => vec![Finding::of_error(AREA, &error)],
    }
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
        let message = format!("`{path}` is no stop record that this version can read");
        findings.push(
            Finding::failure(AREA, Exit::StillStopped, message).remedy(format!(
                "look for stopped containers (`docker ps -a`), start them, then remove `{path}`"
            )),
        );
    }
    let journals = state::read_all(&cx.paths.restore_journals(), |_| Some(()))?;
    for (path, ()) in journals.good {
        let message = format!("a restore was interrupted (`{}`)", path.display());
        findings.push(Finding::failure(AREA, Exit::UnitsFailed, message).remedy(RECOVER));
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
