//! `list --units`: what a backup would save, and what it would not.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::context::Context;
use crate::discovery::{self, OrphanVolume, Rules, Size};
use crate::docker::Engine;
use crate::error::Result;
use crate::model::source::GapReason;
use crate::model::{Source, Unit, UnitKind, UnitName};
use crate::ui::table::table;
use crate::ui::text::{bytes, count};

/// A walk that takes longer is given up, and the size told as unknown.
const MEASURING: Duration = Duration::from_secs(600);

/// The answer as JSON. Fields are only ever added.
#[derive(Serialize)]
struct Listing<'a> {
    units: Vec<Listed<'a>>,
    /// Volumes that belong to no unit, since no container uses them.
    orphan_volumes: &'a [OrphanVolume],
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    unit: &'a Unit,
    /// With `--sizes`, in the order of `sources`; null for one that could not be measured in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    sizes: Option<Vec<Option<&'a Size>>>,
}

type Sizes = BTreeMap<(UnitName, PathBuf), Size>;

pub async fn run(cx: &Context, names: &[UnitName], with_sizes: bool) -> Result<u8> {
    cx.require_root("list")?;
    let loaded = cx.config()?;
    let engine = Engine::connect(&loaded.config.docker.socket).await?;
    let found = discovery::discover(&engine, &Rules::of(&loaded.config, &cx.paths)).await?;
    let units = discovery::select(found.units, names)?;
    // They are nobody's, so they are not asked about when somebody is.
    let orphans = if names.is_empty() {
        found.orphan_volumes
    } else {
        Vec::new()
    };
    let sizes = if with_sizes {
        Some(measure(cx, &units).await?)
    } else {
        None
    };
    if cx.ui.json {
        cx.ui
            .answer_json(&listing(&units, &orphans, sizes.as_ref()));
    } else {
        show(cx, &units, &orphans, sizes.as_ref());
    }
    Ok(0)
}

async fn measure(cx: &Context, units: &[Unit]) -> Result<Sizes> {
    let mut sizes = Sizes::new();
    for unit in units {
        for source in &unit.sources {
            let walk = discovery::measure(&source.path, &source.exclude_patterns);
            match tokio::time::timeout(MEASURING, walk).await {
                Ok(size) => {
                    sizes.insert((unit.name.clone(), source.path.clone()), size?);
                }
                Err(_) => cx.ui.warn(format!(
                    "{} of unit `{}` could not be measured within {} min",
                    source.key,
                    unit.name,
                    MEASURING.as_secs() / 60
                )),
            }
        }
    }
    Ok(sizes)
}

fn size_of<'a>(sizes: &'a Sizes, unit: &Unit, source: &Source) -> Option<&'a Size> {
    sizes.get(&(unit.name.clone(), source.path.clone()))
}

fn listing<'a>(
    units: &'a [Unit],
    orphan_volumes: &'a [OrphanVolume],
    sizes: Option<&'a Sizes>,
) -> Listing<'a> {
    Listing {
        units: units
            .iter()
            .map(|unit| Listed {
                unit,
                sizes: sizes.map(|sizes| {
                    let of = |source| size_of(sizes, unit, source);
                    unit.sources.iter().map(of).collect()
                }),
            })
            .collect(),
        orphan_volumes,
    }
}

fn show(cx: &Context, units: &[Unit], orphans: &[OrphanVolume], sizes: Option<&Sizes>) {
    if units.is_empty() {
        cx.ui.answer("There are no containers on this host.");
    } else {
        cx.ui.answer(overview(units, sizes));
    }
    for line in remarks(units).into_iter().chain(orphan_lines(orphans)) {
        cx.ui.answer(line);
    }
}

fn overview(units: &[Unit], sizes: Option<&Sizes>) -> String {
    let row = |unit: &Unit| {
        let up = unit.containers.iter().filter(|c| c.state.is_up()).count();
        let mut databases: Vec<&str> = unit.containers.iter().filter_map(|c| c.database).collect();
        databases.sort_unstable();
        databases.dedup();
        [
            unit.name.to_string(),
            kind(unit),
            format!("{up}/{}", unit.containers.len()),
            unit.sources.len().to_string(),
            databases.join(", "),
            unit.gaps.len().to_string(),
        ]
    };
    let header = [
        "UNIT",
        "KIND",
        "RUNNING",
        "SOURCES",
        "DATABASES",
        "LEFT OUT",
    ];
    let Some(sizes) = sizes else {
        return table(header, &[2, 3, 5], units.iter().map(row));
    };
    let [unit, kind, running, sources, databases, left_out] = header;
    table(
        [unit, kind, running, sources, "SIZE", databases, left_out],
        &[2, 3, 4, 6],
        units.iter().map(|unit| {
            let [name, kind, running, sources, databases, left_out] = row(unit);
            let total = total(unit, sizes);
            [name, kind, running, sources, total, databases, left_out]
        }),
    )
}

fn kind(unit: &Unit) -> String {
    let kind = match unit.kind {
        UnitKind::Stack => "stack",
        UnitKind::Standalone => "standalone",
    };
    if unit.not_coverable.is_some() {
        format!("{kind}, not coverable")
    } else if !unit.enabled {
        format!("{kind}, disabled")
    } else {
        kind.to_owned()
    }
}

fn total(unit: &Unit, sizes: &Sizes) -> String {
    let known: Option<u64> = unit
        .sources
        .iter()
        .map(|source| size_of(sizes, unit, source).map(|size| size.bytes))
        .sum();
    known.map_or("unknown".to_owned(), bytes)
}

/// What needs an operator's eye, in words. What nobody misses (sockets, `/proc`) is told as a number only.
fn remarks(units: &[Unit]) -> Vec<String> {
    let mut lines = Vec::new();
    for unit in units {
        let losses = unit.gaps.iter().filter(|gap| gap.is_loss);
        let problems: Vec<String> = unit
            .not_coverable
            .iter()
            .map(|reason| format!("  not coverable: {reason}"))
            .chain(
                losses
                    .filter(|gap| gap.reason != GapReason::NotCoverable)
                    .map(|gap| format!("  not saved: {}: {}", gap.what, gap.detail)),
            )
            .chain(
                unit.warnings
                    .iter()
                    .map(|warning| format!("  note: {warning}")),
            )
            .collect();
        if !problems.is_empty() {
            lines.push(String::new());
            lines.push(format!("Unit `{}`:", unit.name));
            lines.extend(problems);
        }
    }
    lines
        .iter()
        .map(|line| crate::ui::text::printable(line))
        .collect()
}

pub(super) fn orphan_lines(orphans: &[OrphanVolume]) -> Vec<String> {
    if orphans.is_empty() {
        return Vec::new();
    }
    let named: Vec<&str> = orphans
        .iter()
        .filter(|volume| !volume.is_anonymous)
        .map(|volume| volume.name.as_str())
        .collect();
    let anonymous = orphans.len() - named.len();
    let mut lines = vec![
        String::new(),
        format!(
            "In no backup, since no container uses them: {}",
            count(orphans.len(), "volume")
        ),
    ];
    lines.extend(named.iter().map(|name| format!("  `{name}`")));
    if anonymous > 0 {
        lines.push(format!("  {} without a name", count(anonymous, "volume")));
    }
    lines
}
