use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_cx: &Context, _args: Args) -> Result<u8> {
    Ok(0)
}
