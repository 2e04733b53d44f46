//! `backup`: cold backup of every unit, or of the named ones.

use crate::backup;
use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit; may be given several times
    #[arg(long = "unit", value_name = "UNIT")]
    pub units: Vec<UnitName>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("backup")?;
    let report = backup::run(cx, &args.units).await?;
    Ok(report.exit_code)
}
