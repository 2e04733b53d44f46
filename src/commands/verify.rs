//! `verify`: proves that restore points can be read back.

use clap_complete::ArgValueCompleter;
use serde_json::json;
use tracing::info;

use crate::completion;
use crate::context::Context;
use crate::error::Result;
use crate::logging;
use crate::model::UnitName;
use crate::points::choose::Which;
use crate::verify::{self, Hosts, Request, reporter};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit (can be repeated)
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::saved_units))]
    units: Vec<UnitName>,

    /// Restore point: the ID of a run, or `latest` for the newest whole one of each unit
    #[arg(long, value_name = "ID|latest", default_value = "latest", add = ArgValueCompleter::new(completion::backup_ids))]
    backup_id: Which,

    /// Verify restore points of another host
    #[arg(long, value_name = "HOST", conflicts_with = "all_hosts", add = ArgValueCompleter::new(completion::hosts))]
    host: Option<String>,

    /// Verify the restore points of all hosts
    #[arg(long)]
    all_hosts: bool,

    /// Minimum share of the data to read, in percent
    ///
    /// A source (a volume, a bind mount) is read completely or not at all: below 100, sources are chosen at random, larger ones more
    /// likely, until they hold that share of all bytes. Sources that were not chosen are listed; recipes are always read.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u8).range(1..=100)
    )]
    files_percent: u8,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("verify")?;
    let hosts = match args.host {
        Some(host) => Hosts::One(host),
        None if args.all_hosts => Hosts::All,
        None => Hosts::Own,
    };
    let request = Request {
        units: args.units,
        which: args.backup_id,
        hosts,
        percent: args.files_percent,
    };
    let verified = verify::run(cx, &request).await?;
    let report = verified.report;
    for line in reporter::report_text(&report).lines() {
        info!(target: logging::FILE, "{line}");
    }
    cx.ui
        .event(&json!({"event": "verify_finished", "report": report}));
    if !cx.ui.json && !cx.ui.quiet {
        cx.ui.answer(reporter::report_text(&report));
    }
    match verified.ended {
        Some(error) => Err(error),
        None => Ok(report.exit_code),
    }
}
