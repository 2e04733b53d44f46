//! `config --init`, `--show` and `--edit`, as they were spelled in version 1. Hidden; scripts that use them keep working.

use crate::context::Context;
use crate::error::Result;

use super::{edit_config, new_config, show_config};

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Same as `new-config`
    #[arg(long)]
    init: bool,

    /// Same as `show-config`
    #[arg(long)]
    show: bool,

    /// Same as `edit-config`
    #[arg(long)]
    edit: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.init {
        new_config::run(cx, new_config::Args::default()).await
    } else if args.edit {
        edit_config::run(cx, edit_config::Args::default()).await
    } else {
        show_config::run(cx, show_config::Args::default())
    }
}
