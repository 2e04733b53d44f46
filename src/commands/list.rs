//! What there is: backup units on this host, or restore points in the repository.

use clap_complete::ArgValueCompleter;

use crate::completion;
use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;

use super::{list_snapshots, list_units};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup units of this host: containers, sources, and what would not be saved (the default)
    #[arg(long)]
    units: bool,

    /// The restore points in the repository
    #[arg(long, conflicts_with_all = ["units", "sizes"])]
    snapshots: bool,

    /// Only this unit; may be given several times
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::units_here))]
    names: Vec<UnitName>,

    /// Restore points of every host that uses the repository
    #[arg(long, requires = "snapshots")]
    all_hosts: bool,

    /// Measure how much each source holds; takes as long as walking through all of it
    #[arg(long)]
    sizes: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    if args.snapshots {
        return list_snapshots::run(cx, &args.names, args.all_hosts).await;
    }
    list_units::run(cx, &args.names, args.sizes).await
}
