//! `setup`: from nothing to the first backup.

use crate::context::Context;
use crate::error::Result;
use crate::setup::{self, Skipped};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask for the configuration although there is one; a copy of it is kept
    #[arg(long)]
    force: bool,

    /// Leave the programs on this host alone
    #[arg(long)]
    skip_deps: bool,

    /// Neither create a repository nor connect to one
    #[arg(long)]
    skip_init: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("setup")?;
    let skipped = Skipped {
        programs: args.skip_deps,
        repository: args.skip_init,
    };
    setup::run(cx, args.force, skipped).await
}
