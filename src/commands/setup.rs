//! `setup`: from nothing to the first backup.

use crate::context::Context;
use crate::error::Result;
use crate::setup::{self, Skipped};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ask for the configuration even if there is one, keeping a dated copy
    #[arg(long)]
    force: bool,

    /// Do not install programs
    #[arg(long)]
    skip_deps: bool,

    /// Do not create or connect to a repository
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
