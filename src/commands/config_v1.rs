//! `config --show`, as it was spelled in version 1. Hidden; whoever has it in a script goes on with it.

use crate::context::Context;
use crate::error::Result;

use super::show_config;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `show-config`
    #[arg(long, required = true)]
    show: bool,
}

pub fn run(cx: &Context, _args: Args) -> Result<u8> {
    show_config::run(cx, show_config::Args {})
}
