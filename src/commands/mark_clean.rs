//! `mark-clean`: tells what the next backup may believe of files after a restart. Hidden: `kopi-docka-clean.service` runs it.

use crate::base::blocking::aside;
use crate::changed::clean;
use crate::context::Context;
use crate::drivers::systemd;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The machine has just started
    #[arg(long)]
    begin: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("mark-clean")?;
    let state = cx.paths.state.clone();
    if args.begin {
        aside(move || clean::begin(&state)).await?;
        return Ok(0);
    }
    // Stopped by hand it says nothing: services go on writing.
    let is_ending = systemd::asked(&["is-system-running"]).await;
    if is_ending.is_some_and(|answer| answer.trim() == "stopping") {
        aside(move || clean::end(&state)).await?;
    }
    Ok(0)
}
