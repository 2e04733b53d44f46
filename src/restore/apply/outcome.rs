//! How a restore ends: what was made is removed and the error says how things are, or a report tells what was done.

use std::path::PathBuf;

use super::applying::Applying;
use super::report::{Loss, RestoreReport, RestoredFile, RestoredSource};
use super::window::Window;
use crate::base::shutdown::Shutdown;
use crate::base::text;
use crate::error::{Exit, Failure};
use crate::recovery::undo;
use crate::swap::exchange;
use crate::swap::journal::JournalFile;

/// Nothing could be written down, so nothing was made. `what` is the sentence about what did not happen.
pub fn not_begun(what: String, error: anyhow::Error) -> Failure {
    Failure::new(Exit::UnitsFailed, what)
        .note("nothing was changed")
        .caused_by(error)
}

impl Window<'_> {
    /// Removes what was made, and says how things are. `what` is the sentence about what did not happen.
    pub async fn give_up(
        mut self,
        file: &JournalFile,
        error: anyhow::Error,
        what: String,
    ) -> anyhow::Error {
        let is_half_way = error.is::<exchange::NotTakenBack>();
        let mut exit = crate::error::exit_of(&error);
        if exit == Exit::Unexpected {
            exit = Exit::UnitsFailed;
        }
        if !is_half_way && let Err(left) = undo(file).await {
            self.warnings.push(format!(
                "`kopi-docka recover` removes what is left: {left:#}"
            ));
        }
        for warning in &self.warnings {
            self.reporter.warn(warning);
        }
        if !self.still_stopped.is_empty() {
            exit = Exit::StillStopped;
        }
        let mut failure = Failure::new(exit, what);
        if is_half_way {
            failure = failure.hint("fix what the error names, then run `kopi-docka recover`");
        } else {
            failure = failure.note("everything that was to be replaced is as it was");
        }
        failure = if self.still_stopped.is_empty() && self.downtime_seconds == 0.0 {
            failure.note("no container was stopped")
        } else if self.still_stopped.is_empty() {
            failure.note(format!(
                "every container of `{}` that ran is running",
                self.unit
            ))
        } else {
            let names: Vec<&str> = self
                .still_stopped
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            failure
                .note(format!("still stopped: {}", names.join(", ")))
                .hint("see `docker logs` of them, fix it, then run `kopi-docka recover`")
        };
        failure.caused_by(error).into()
    }

    /// The exit code of what is in place, and what went wrong after that.
    pub fn verdict(&self, shutdown: &Shutdown) -> (u8, Vec<String>) {
        let mut errors = self.errors.clone();
        for (name, reason) in &self.still_stopped {
            errors.push(format!("container `{name}` is still stopped: {reason}"));
        }
        let exit_code = if !self.still_stopped.is_empty() {
            Exit::StillStopped.code()
        } else if shutdown.is_asked() {
            shutdown.exit().code()
        } else if !errors.is_empty() {
            Exit::UnitsFailed.code()
        } else {
            0
        };
        (exit_code, errors)
    }
}

/// A restore that lost something, though by leave, does not end as one that did not.
fn tell_losses(applying: &mut Applying<'_>) -> Vec<Loss> {
    let losses = std::mem::take(&mut applying.losses).into_iter();
    let losses: Vec<Loss> = losses
        .map(|(what, losses)| Loss {
            what,
            count: losses.count,
            lost: losses.lines,
        })
        .collect();
    for loss in &losses {
        applying.window.errors.push(format!(
            "{} was restored without what its file system cannot hold: {}",
            loss.what,
            text::count(loss.count, "loss")
        ));
    }
    losses
}

/// The report, once everything is in place. `kept` is where the previous data is.
pub fn report(mut applying: Applying<'_>, kept: Vec<Option<PathBuf>>) -> RestoreReport {
    let losses = tell_losses(&mut applying);
    let (exit_code, errors) = applying
        .window
        .verdict(&applying.session.ground.cx.shutdown);
    // In the order of `Plan::swaps`: sources, then the files that are swapped.
    let mut kept = kept.into_iter();
    let sources = applying
        .plan
        .sources
        .into_iter()
        .map(|source| RestoredSource {
            safety_copy: match source.inside {
                None => kept.next().flatten(),
                // In that of the one that it came with.
                Some(_) => None,
            },
            inside: source.inside.map(|inside| inside.root),
            key: source.key,
            piece: source.piece,
            what: source.swap.what,
            target: source.target,
            bytes: source.bytes,
        });
    let sources: Vec<RestoredSource> = sources.collect();
    let files = applying.plan.files.into_iter().map(|file| RestoredFile {
        safety_copy: file.swap.as_ref().and_then(|_| kept.next().flatten()),
        path: file.path,
        action: file.action,
    });
    RestoreReport {
        restore_id: applying.plan.restore_id,
        unit: applying.plan.unit,
        project: applying.plan.project,
        backup_id: applying.plan.backup_id,
        identity: applying.plan.identity,
        is_restored: true,
        sources,
        files: files.collect(),
        downtime_seconds: applying.window.downtime_seconds,
        steps: applying.window.timeline.into_steps(),
        warnings: applying.window.warnings,
        losses,
        errors,
        still_stopped: applying
            .window
            .still_stopped
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        // Once the unit is up, others are in their place.
        held: if applying.is_up {
            Vec::new()
        } else {
            applying.window.held
        },
        container_script: applying.plan.rebuild.script(),
        is_up: applying.is_up,
        next_steps: applying.plan.next_steps,
        exit_code,
    }
}
