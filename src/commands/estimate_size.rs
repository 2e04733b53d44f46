//! `estimate-size`: how much a backup would read, measured on the disk.

use clap_complete::ArgValueCompleter;
use serde::Serialize;

use crate::backup::{LeftOut, choose, survey};
use crate::base::text;
use crate::completion;
use crate::context::Context;
use crate::discovery::{self, Rules, Size};
use crate::drivers::docker::Engine;
use crate::error::{Failure, Result};
use crate::model::{SourceKey, UnitName};
use crate::ui::table;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this unit (can be repeated)
    #[arg(long = "unit", value_name = "UNIT", add = ArgValueCompleter::new(completion::units_here))]
    units: Vec<UnitName>,
}

/// The answer as JSON. Fields are only ever added.
#[derive(Serialize)]
struct Estimate {
    units: Vec<UnitSize>,
    /// Units that a backup without a name does not save.
    left_out: Vec<LeftOut>,
    /// The sum of what could be measured, before Kopia's deduplication and compression.
    bytes: u64,
    files: u64,
}

#[derive(Serialize)]
struct UnitSize {
    unit: UnitName,
    bytes: u64,
    files: u64,
    sources: Vec<SourceSize>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct SourceSize {
    #[serde(flatten)]
    key: SourceKey,
    /// Its fields are missing when it could not be measured in time.
    #[serde(flatten)]
    size: Option<Size>,
}

pub async fn run(cx: &Context, args: Args) -> Result<u8> {
    cx.require_root("estimate-size")?;
    let estimate = tokio::select! {
        biased;
        () = cx.shutdown.asked() => {
            return Err(Failure::new(cx.shutdown.exit(), "a signal ended the measuring").into());
        }
        estimate = estimate(cx, &args.units) => estimate?,
    };
    if cx.ui.json {
        cx.ui.answer_json(&estimate);
    } else {
        show(cx, &estimate);
    }
    Ok(0)
}

async fn estimate(cx: &Context, names: &[UnitName]) -> Result<Estimate> {
    let loaded = cx.config()?;
    let rules = Rules::of(&loaded.config, &cx.paths);
    let engine = Engine::connect(&loaded.config.docker.socket).await?;
    let host = discovery::discover(&engine, &rules).await?;
    let chosen = choose(host.units, names)?;
    let mut units = Vec::new();
    for unit in chosen.units {
        let surveyed = survey(unit, &rules, loaded.config.backup.stall_timeout).await?;
        let mut sizes = surveyed.sizes;
        let sources = surveyed.unit.sources.into_iter().map(|source| SourceSize {
            size: sizes.remove(&source.key),
            key: source.key,
        });
        let sources: Vec<SourceSize> = sources.collect();
        let known = || sources.iter().filter_map(|source| source.size.as_ref());
        units.push(UnitSize {
            unit: surveyed.unit.name,
            bytes: known().map(|size| size.bytes).sum(),
            files: known().map(|size| size.files).sum(),
            sources,
            warnings: surveyed.unit.warnings,
        });
    }
    Ok(Estimate {
        bytes: units.iter().map(|unit| unit.bytes).sum(),
        files: units.iter().map(|unit| unit.files).sum(),
        units,
        left_out: chosen.left_out,
    })
}

fn show(cx: &Context, estimate: &Estimate) {
    let mut rows = Vec::new();
    for unit in &estimate.units {
        for source in &unit.sources {
            let files = source.size.as_ref().map(|size| size.files.to_string());
            let bytes = source.size.as_ref().map(|size| text::bytes(size.bytes));
            rows.push([
                unit.unit.to_string(),
                source.key.to_string(),
                files.unwrap_or_else(|| "unknown".to_owned()),
                bytes.unwrap_or_else(|| "unknown".to_owned()),
            ]);
        }
        rows.push([
            unit.unit.to_string(),
            "in all".to_owned(),
            unit.files.to_string(),
            text::bytes(unit.bytes),
        ]);
        for warning in &unit.warnings {
            cx.ui.warn(format!("`{}`: {warning}", unit.unit));
        }
    }
    cx.ui.answer(table::table(
        ["UNIT", "DATA", "FILES", "SIZE"],
        &[2, 3],
        rows,
    ));
    for left in &estimate.left_out {
        cx.ui.answer(text::printable(&format!(
            "Not counted: unit `{}`: {}",
            left.unit, left.reason
        )));
    }
    cx.ui.answer(format!(
        "{} in all, in {}. Kopia stores less: compressed, and only what it does not have yet.",
        text::bytes(estimate.bytes),
        text::count(estimate.units.len(), "unit"),
    ));
}
