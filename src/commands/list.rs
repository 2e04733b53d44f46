//! What there is: backup units on this host, or restore points in the repository.

use clap_complete::ArgValueCompleter;

use crate::completion;
use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;

use super::{list_snapshots, list_units};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// List the backup units of this host, with what would not be saved (default)
    #[arg(long)]
    units: bool,

    /// List the restore points in the repository
    #[arg(long, conflicts_with_all = ["units", "sizes"])]
    snapshots: bool,

    /// Only this unit (can be repeated)
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::units_here))]
    names: Vec<UnitName>,

    /// Include the restore points of all hosts
    #[arg(long, requires = "snapshots")]
    all_hosts: bool,

    /// Measure the size of each source (walks all files)
    #[arg(long)]
    sizes: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.snapshots {
        return list_snapshots::run(cx, &args.names, args.all_hosts).await;
    }
    list_units::run(cx, &args.names, args.sizes).await
}
