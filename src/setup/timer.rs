//! Offers what starts a backup every night.

use crate::context::Context;
use crate::drivers::systemd::{is_booted, systemctl};
use crate::error::Result;
use crate::service::write;
use crate::ui::prompt;

const TIMER: &str = "kopi-docka.timer";

/// A timer that cannot be started is no reason for a setup to fail: everything else is done.
pub async fn offer(cx: &Context) -> Result<()> {
    if !is_booted() {
        cx.ui.say(
            "systemd does not run here: let what starts programs on this host, such as cron, run `kopi-docka backup` every night.",
        );
        return Ok(());
    }
    if systemctl(&["is-enabled", "--quiet", TIMER]).await.is_ok() {
        cx.ui.say(format!("{TIMER} is enabled."));
        return Ok(());
    }
    let later = "Later: `kopi-docka write-units`, which says what to do next.";
    if !prompt::is_possible() {
        cx.ui.say(later);
        return Ok(());
    }
    let question = "Write the systemd units, and start the timer that makes a backup every night?";
    if !prompt::is_wanted(question, &cx.shutdown).await? {
        cx.ui.say(later);
        return Ok(());
    }
    write::run(cx, write::Options::default()).await?;
    match systemctl(&["enable", "--now", TIMER]).await {
        Ok(()) => cx.ui.say(format!("{TIMER} is enabled and runs.")),
        Err(error) => cx.ui.warn(format!(
            "{TIMER} could not be started: {error:#}; run `systemctl enable --now {TIMER}`"
        )),
    }
    Ok(())
}
