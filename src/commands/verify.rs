//! `verify`: proves that restore points can be read back.

use clap_complete::ArgValueCompleter;
use serde_json::json;
use tracing::info;

use crate::base::text;
use crate::completion;
use crate::context::Context;
use crate::error::Result;
use crate::logging;
use crate::model::UnitName;
use crate::points::choose::Which;
use crate::ui::table;
use crate::verify::{self, AgainstReport, Comparison, Hosts, Request, reporter};

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

    /// Compare the newest whole restore point with what is on this host now
    ///
    /// Every file that is proven to be unchanged since it was saved is read from its disk and compared, while services run: a
    /// difference means a disk that rots, or a program that writes past the file system. Files that change meanwhile are skipped.
    #[arg(long, conflicts_with_all = ["backup_id", "host", "all_hosts", "files_percent"])]
    against_source: bool,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("verify")?;
    if args.against_source {
        let report = verify::run_against(cx, args.units).await?;
        cx.ui
            .event(&json!({"event": "against_source_finished", "report": report}));
        let text = against_text(&report);
        for line in text.lines() {
            info!(target: logging::FILE, "{line}");
        }
        if !cx.ui.json && !cx.ui.quiet {
            cx.ui.answer(text);
        }
        return Ok(report.exit_code);
    }
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

fn against_text(report: &AgainstReport) -> String {
    let rows = report.points.iter().flat_map(|point| {
        point.sources.iter().map(|source| {
            let result = match source.result {
                Comparison::Same => "same".to_owned(),
                Comparison::Different => {
                    let count = usize::try_from(source.different_files).unwrap_or(usize::MAX);
                    format!("{} DIFFERENT", text::count(count, "file"))
                }
                Comparison::NotCompared => "not compared".to_owned(),
                Comparison::Unread => "not read".to_owned(),
            };
            [
                point.unit.to_string(),
                point.backup_id.to_string(),
                source.key.to_string(),
                result,
                source.files.to_string(),
                text::bytes(source.bytes),
                source.changed_files.to_string(),
            ]
        })
    });
    table::table(
        [
            "UNIT",
            "BACKUP ID",
            "DATA",
            "RESULT",
            "FILES",
            "READ",
            "CHANGED MEANWHILE",
        ],
        &[4, 5, 6],
        rows,
    )
}
