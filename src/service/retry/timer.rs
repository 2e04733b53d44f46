//! For `kopi-docka-retry.timer`, and for cron: looks once, says nothing while there is nothing to say.

use super::look::{Look, look};
use super::settle::{Operator, settle};
use crate::backup::{self, Asked};
use crate::base::lock::Lock;
use crate::context::Context;
use crate::drivers::systemd::systemctl;
use crate::error::Result;

/// How the backup is begun.
#[derive(Debug)]
pub enum Start {
    /// By systemd: the unit of the retry may do less than a backup needs.
    Unit(String),
    /// In this process.
    Here,
}

/// Makes the backup that is pending, if there is one and the repository answers.
pub async fn run(cx: &Context, start: Start) -> Result<u8> {
    // The log begins when there is something to say.
    let loaded = cx.config_again()?;
    let pending = match look(cx, &loaded.config).await? {
        Look::Wait => return Ok(0),
        Look::GivenUp(error) => {
            cx.log_if_configured();
            return Err(error);
        }
        Look::Now(pending) => pending,
    };
    cx.log_if_configured();
    let profile = loaded.config.profile();
    match start {
        Start::Unit(unit) => {
            pending.claim(&cx.paths, profile)?;
            systemctl(&["start", "--no-block", &unit]).await?;
            cx.ui
                .say(format!("The repository answers: started `{unit}`"));
            Ok(0)
        }
        Start::Here => {
            let lock = Lock::take(&cx.paths.runtime, "retry")?;
            pending.claim(&cx.paths, profile)?;
            let config = loaded.config.clone();
            // On the heap, as in the daemon.
            let ran = Box::pin(backup::run(cx, loaded, lock, Asked::default())).await;
            settle(cx, &config, Operator::Away, &ran);
            Ok(ran?.exit_code)
        }
    }
}
