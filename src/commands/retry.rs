//! `retry`: makes a backup that could not reach the repository, once that answers. Hidden: `kopi-docka-retry.timer` and cron run it.

use crate::context::Context;
use crate::error::Result;
use crate::service::retry::{self, Start};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Let systemd start this unit, instead of making the backup in this process
    #[arg(long, value_name = "UNIT")]
    start: Option<String>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("retry")?;
    let start = args.start.map_or(Start::Here, Start::Unit);
    retry::run(cx, start).await
}
