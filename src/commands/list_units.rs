//! `list --units`: what a backup would save, and what it would not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::backup::memory;
use crate::backup::preview_text::orphan_lines;
use crate::base::text::bytes;
use crate::context::Context;
use crate::discovery::{self, BindLimit, OrphanVolume, Rules, Size};
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::source::{Gap, GapReason};
use crate::model::{Source, SourceKey, Unit, UnitKind, UnitName};
use crate::ui::table::table;

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
    /// What the newest point lacks beside `gaps`: only a backup finds that out.
    last_losses: &'a [Gap],
}

type Sizes = BTreeMap<(UnitName, PathBuf), Size>;

/// What the newest point of each unit lacks beside its gaps.
type Losses = BTreeMap<UnitName, Vec<Gap>>;

pub async fn run(cx: &Context, names: &[UnitName], with_sizes: bool) -> Result<u8> {
    cx.require_root("list")?;
    let loaded = cx.config()?;
    let engine = Engine::connect(&loaded.config.docker.socket).await?;
    let rules = Rules::of(&loaded.config, &cx.paths);
    let found = discovery::discover(&engine, &rules).await?;
    let mut units = discovery::select(found.units, names)?;
    // They belong to no unit, so they are left out when units are named.
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
    let mut losses = Losses::new();
    for unit in &mut units {
        if let Some(sizes) = &sizes {
            leave_out_too_large(unit, &rules, sizes);
        }
        let lost = memory::recall_losses(&cx.paths, loaded.config.profile(), unit);
        losses.insert(unit.name.clone(), lost);
    }
    let shown = Shown {
        units: &units,
        orphans: &orphans,
        sizes: sizes.as_ref(),
        losses: &losses,
    };
    if cx.ui.json {
        cx.ui.answer_json(&shown.listing());
    } else {
        shown.show(cx);
    }
    Ok(0)
}

/// As a backup would, which measures too.
fn leave_out_too_large(unit: &mut Unit, rules: &Rules, sizes: &Sizes) {
    let limit = BindLimit::new(unit, rules);
    let of = |source: &Source| Some((source.key.clone(), size_of(sizes, unit, source)?.bytes));
    let bytes: BTreeMap<SourceKey, u64> = unit.sources.iter().filter_map(of).collect();
    discovery::leave_out_too_large(unit, &limit, &bytes, &BTreeSet::new(), MEASURING);
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

/// All that is told.
#[derive(Clone, Copy)]
struct Shown<'a> {
    units: &'a [Unit],
    orphans: &'a [OrphanVolume],
    sizes: Option<&'a Sizes>,
    losses: &'a Losses,
}

impl<'a> Shown<'a> {
    fn losses(&self, unit: &Unit) -> &'a [Gap] {
        self.losses.get(&unit.name).map_or(&[], Vec::as_slice)
    }

    fn listing(&self) -> Listing<'a> {
        let listed = |unit: &'a Unit| Listed {
            unit,
            sizes: self.sizes.map(|sizes| {
                let of = |source| size_of(sizes, unit, source);
                unit.sources.iter().map(of).collect()
            }),
            last_losses: self.losses(unit),
        };
        Listing {
            units: self.units.iter().map(listed).collect(),
            orphan_volumes: self.orphans,
        }
    }

    fn show(&self, cx: &Context) {
        if self.units.is_empty() {
            cx.ui.answer("There are no containers on this host.");
        } else {
            cx.ui.answer(overview(self));
        }
        let lines = remarks(self).into_iter();
        for line in lines.chain(orphan_lines(self.orphans)) {
            cx.ui.answer(line);
        }
    }
}

fn overview(shown: &Shown<'_>) -> String {
    let (units, sizes) = (shown.units, shown.sizes);
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
            (unit.gaps.len() + shown.losses(unit).len()).to_string(),
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

/// What needs an operator's eye, in words. What is not data (sockets, `/proc`) is only counted.
fn remarks(shown: &Shown<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for unit in shown.units {
        let losses = unit.gaps.iter().filter(|gap| gap.is_loss);
        let problems: Vec<String> =
            unit.not_coverable
                .iter()
                .map(|reason| format!("  not coverable: {reason}"))
                .chain(
                    losses
                        .filter(|gap| gap.reason != GapReason::NotCoverable)
                        .map(|gap| format!("  not saved: {}: {}", gap.what, gap.detail)),
                )
                .chain(
                    shown.losses(unit).iter().map(|gap| {
                        format!("  not in the newest point: {}: {}", gap.what, gap.detail)
                    }),
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
        .map(|line| crate::base::text::printable(line))
        .collect()
}
