//! `dry-run` and `backup --dry-run`: what a backup would do now.

use clap_complete::ArgValueCompleter;

use crate::backup::preview_text;
use crate::completion;
use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit (can be repeated)
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::units_here))]
    units: Vec<UnitName>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    preview_text::show(cx, &args.units).await
}
