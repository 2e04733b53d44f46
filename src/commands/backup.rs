//! `backup`: cold backup of every unit, or of the named ones.

use crate::backup;
use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;

use super::dry_run;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit; may be given several times
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<UnitName>,

    /// Show what would be done, and do nothing; the same as `kopi-docka dry-run`
    #[arg(long)]
    pub dry_run: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.dry_run {
        return dry_run::show(cx, &args.units).await;
    }
    cx.require_root("backup")?;
    let report = backup::run(cx, &args.units).await?;
    Ok(report.exit_code)
}
