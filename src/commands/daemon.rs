//! `daemon`: the service that systemd keeps running.

use std::time::Duration;

use crate::context::Context;
use crate::error::Result;
use crate::service;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Back up every unit at this interval, from start to start [default: never, the timer does it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=525_600))]
    interval_minutes: Option<u64>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("daemon")?;
    let interval = args
        .interval_minutes
        .map(|minutes| Duration::from_secs(60 * minutes));
    service::daemon::run(cx, interval).await
}
