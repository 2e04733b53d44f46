//! `notify`: a test message to each target. Hidden: what no run tells is told, for `kopi-docka-notify.service`.

use serde_json::json;

use crate::context::Context;
use crate::doctor;
use crate::error::{Exit, Failure, Result};
use crate::notify::{self, Tried};

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Send one message to each target, and show what became of it
    #[arg(long)]
    test: bool,

    /// Tell what no run tells: that one was killed, and that none comes
    #[arg(long, hide = true)]
    due: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("notify")?;
    if args.due {
        tell(cx).await;
        return Ok(0);
    }
    let config = cx.config()?.config;
    if config.notify.is_empty() {
        return Err(
            Failure::new(Exit::NothingMatched, "nobody is told of runs and problems")
                .hint("name a target in `notify`: run `kopi-docka edit-config`")
                .into(),
        );
    }
    let trial = async { Ok(notify::trial(cx, &config).await) };
    let tried = cx.shutdown.cut("the test", trial).await?;
    if cx.ui.json {
        cx.ui.answer_json(&json!({ "targets": tried }));
    } else {
        tried.iter().for_each(|tried| cx.ui.answer(line(tried)));
    }
    let is_good = tried.iter().all(|tried| tried.ok);
    Ok(if is_good { 0 } else { Exit::UnitsFailed.code() })
}

fn line(tried: &Tried) -> String {
    match &tried.error {
        None => format!("{}: sent", tried.name),
        Some(why) => format!("{}: not sent: {why}", tried.name),
    }
}

/// What no run tells. That it cannot be told is a warning; without a configuration there is nobody to tell.
pub async fn tell(cx: &Context) {
    let Ok(loaded) = cx.config_again() else {
        return;
    };
    if !loaded.config.notify.is_empty() {
        cx.log_if_configured();
    }
    let looking = notify::look(cx, &loaded.config, None, doctor::interval());
    if let Err(error) = cx.shutdown.cut("the messages", looking).await
        && !cx.shutdown.is_asked()
    {
        cx.ui.warn(format!("a message was not sent: {error:#}"));
    }
}
