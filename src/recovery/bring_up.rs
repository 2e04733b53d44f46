//! What an earlier run left undone comes first, whatever the command that holds the lock.

use super::crew::Services;
use super::owed;
use super::restores;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::hooks;
use crate::model::UnitName;
use crate::notify::Masks;
use crate::quiesce::{Down, replay};

impl Down {
    /// What is wrong with it, in one error.
    pub fn failure(&self) -> Failure {
        let (name, reason) = self.still_stopped.first().cloned().unwrap_or_default();
        let mut failure = Failure::new(
            Exit::StillStopped,
            format!("container `{name}`, which an earlier run stopped, does not start: {reason}"),
        )
        .hint(format!(
            "see `docker logs {name}`, fix it (`docker compose up -d` creates it again), then run `kopi-docka recover`"
        ));
        for (name, reason) in self.still_stopped.iter().skip(1) {
            failure = failure.note(format!(
                "container `{name}` does not start either: {reason}"
            ));
        }
        failure
    }
}

/// Finishes or undoes interrupted restores, then starts what was left stopped. The units that do not come up are returned: no other
/// unit has to wait for them.
pub async fn bring_up(cx: &Context) -> Result<Vec<Down>> {
    // First, so that nothing is started on data that is half restored.
    let services = Services::Asked(cx);
    let settled = restores::replay(&cx.paths.restore_journals(), services, &cx.ui).await?;
    for warning in &settled.warnings {
        cx.ui.warn(warning);
    }
    let replayed = replay::replay(&cx.paths.stop_records(), None, &cx.ui, &cx.shutdown).await?;
    let owed = owed::bring_up_owed(cx).await?;
    let hooks = catch_up_hooks(cx, &replayed.down).await?;
    for warning in replayed.started.warnings.iter().chain(&owed).chain(&hooks) {
        cx.ui.warn(warning);
    }
    Ok(replayed.down)
}

/// The hooks that have to follow what killed runs began.
pub async fn catch_up_hooks(cx: &Context, down: &[Down]) -> Result<Vec<String>> {
    let masks = cx.config().map(|loaded| Masks::of(&loaded.config));
    let down: Vec<UnitName> = down.iter().map(|down| down.unit.clone()).collect();
    let (folder, masks) = (cx.paths.owed_hooks(), masks.unwrap_or_default());
    Box::pin(hooks::catch_up(&folder, &down, &masks)).await
}

/// As [`bring_up`], for what needs none of the units: what does not come up is told, and left to the timer.
pub async fn bring_up_or_tell(cx: &Context) -> Result<()> {
    for down in bring_up(cx).await? {
        for (name, reason) in &down.still_stopped {
            cx.ui.warn(format!(
                "container `{name}` of unit `{}`, which an earlier run stopped, does not start: {reason}",
                down.unit
            ));
        }
    }
    Ok(())
}

/// As [`bring_up`]; an error when something stays down.
pub async fn bring_up_all(cx: &Context) -> Result<()> {
    match bring_up(cx).await?.first() {
        Some(down) => Err(down.failure().into()),
        None => Ok(()),
    }
}
