//! For `kopi-docka-retry.timer`, and for cron: looks once, says nothing while there is nothing to say.

use super::look::{Look, look};
use super::settle::Operator;
use crate::backup::Asked;
use crate::base::lock::Lock;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::systemd::systemctl;
use crate::error::Result;
use crate::notify::{self, Cause, Problem, What};
use crate::service::backup::back_up;

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
            tell_given_up(cx, &loaded.config, &error).await;
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
            let ran = back_up(cx, loaded, lock, Asked::default(), Operator::Away).await;
            Ok(ran?.exit_code)
        }
    }
}

/// That the backup was not made up for is a problem now.
pub async fn tell_given_up(cx: &Context, config: &Config, error: &anyhow::Error) {
    let problem = Problem::new(Cause::of_host(What::GivenUp), error.to_string());
    let told = notify::look(cx, config, Some(problem), std::future::ready(None)).await;
    if let Err(error) = told {
        cx.ui.warn(format!("a message was not sent: {error:#}"));
    }
}
