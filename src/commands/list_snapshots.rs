//! `list --snapshots`: the restore points in the repository, graded.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use crate::base::text;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::model::UnitName;
use crate::model::drill::{DrillOutcome, DrillReport};
use crate::points::point::{Point, PointState, points};
use crate::points::whose::Whose;
use crate::reports::drills::Drills;
use crate::repository::Repository;
use crate::ui::table;
use crate::verify::Memory;

pub async fn run(cx: &Context, units: &[UnitName], all_hosts: bool) -> Result<u8> {
    cx.require_root("list --snapshots")?;
    let loaded = cx.config()?;
    let repository = Repository::of(cx, &loaded.config)?;
    let status = repository.open().await?;
    let memory = remembered(cx, &status.unique_id);
    let drills = Drills::load(&cx.paths.drills());
    let drilled = |point: &Point| drills.of_point(point, &status.unique_id);
    let identity = repository.kopia.identity();
    let all = points(&repository.kopia.list().await?);
    let whose = Whose::of(&all, repository.kopia.me(), None);
    let mut points: Vec<&Point> = all
        .iter()
        .filter(|point| all_hosts || point.is_of_host(None, &identity))
        .filter(|point| units.is_empty() || units.contains(&point.unit))
        .collect();
    let elsewhere = by_host(&all, &points, units);
    if let Some(unit) = units
        .iter()
        .find(|unit| !points.iter().any(|point| point.unit == **unit))
    {
        return Err(no_such_unit(unit, &all, all_hosts).into());
    }
    // Stable: the newest first, those of this host before all others.
    points.sort_by_key(|point| !point.is_of_host(None, &identity));
    if cx.ui.json {
        let listed = points
            .iter()
            .map(|point| Listed::of(point, &whose, memory.as_ref(), drilled(point)));
        let listed: Vec<Listed<'_>> = listed.collect();
        cx.ui
            .answer_json(&json!({ "points": listed, "other_hosts": elsewhere }));
        return Ok(0);
    }
    if points.is_empty() {
        cx.ui.answer(none_of_this_host(&elsewhere));
        return Ok(0);
    }
    let now = Utc::now();
    let rows = points.iter().map(|point| {
        let listed = Listed::of(point, &whose, memory.as_ref(), drilled(point));
        [
            point.unit.to_string(),
            point.backup_id.to_string(),
            format!("{} ago", text::age(point.time, now)),
            match point.state {
                PointState::Whole => point.grade.map_or("-", |grade| grade.as_str()).to_owned(),
                PointState::Partial => "PARTIAL".to_owned(),
                PointState::Unfinished => "unfinished".to_owned(),
            },
            listed.verified(now),
            listed.drilled(now),
            text::bytes(point.bytes),
            point.made_by.sign(&point.identity) + whose.label(point),
            point.problems.join("; "),
        ]
    });
    cx.ui.answer(table::table(
        [
            "UNIT",
            "BACKUP ID",
            "AGE",
            "GRADE",
            "VERIFIED",
            "DRILLED",
            "SIZE",
            "MADE BY",
            "",
        ],
        &[6],
        rows,
    ));
    Ok(0)
}

/// How many points that are not listed each host has.
fn by_host(all: &[Point], listed: &[&Point], units: &[UnitName]) -> BTreeMap<String, usize> {
    let mut hosts = BTreeMap::new();
    let others = all
        .iter()
        .filter(|point| units.is_empty() || units.contains(&point.unit))
        .filter(|point| !listed.iter().any(|known| std::ptr::eq(*known, *point)));
    for point in others {
        *hosts.entry(point.host().to_owned()).or_default() += 1;
    }
    hosts
}

fn none_of_this_host(elsewhere: &BTreeMap<String, usize>) -> String {
    if elsewhere.is_empty() {
        return "No restore points. `kopi-docka backup` creates one.".to_owned();
    }
    let mut lines = vec!["No restore points of this host. The repository has:".to_owned()];
    lines.extend(elsewhere.iter().map(|(host, count)| {
        let host = text::printable(host);
        format!(
            "  {} of host `{host}`",
            text::count(*count, "restore point")
        )
    }));
    lines.push(
        "List them with `kopi-docka list --snapshots --all-hosts`; take one with `kopi-docka restore --host HOST --unit UNIT --backup-id latest`."
            .to_owned(),
    );
    lines.join("\n")
}

fn no_such_unit(unit: &UnitName, all: &[Point], all_hosts: bool) -> Failure {
    let of_host = if all_hosts { "" } else { " of this host" };
    let mut failure = Failure::new(
        Exit::NothingMatched,
        format!("there is no restore point of unit `{unit}`{of_host}"),
    );
    let mut elsewhere: BTreeMap<&str, usize> = BTreeMap::new();
    for point in all.iter().filter(|point| point.unit == *unit) {
        *elsewhere.entry(point.host()).or_default() += 1;
    }
    if !all_hosts && !elsewhere.is_empty() {
        let hosts = elsewhere
            .iter()
            .map(|(host, count)| format!("{} of `{host}`", text::count(*count, "restore point")));
        let hosts: Vec<String> = hosts.collect();
        failure = failure.hint(format!(
            "there are {}: `--all-hosts` lists them, `kopi-docka restore --host HOST` takes one",
            hosts.join(", ")
        ));
    }
    let names: BTreeSet<&str> = all.iter().map(|point| point.unit.as_str()).collect();
    if !names.is_empty() && elsewhere.is_empty() {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        failure = failure.hint(format!("there are points of {}", names.join(", ")));
    }
    failure
}

/// A point, and what this host found when it read it back.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    point: &'a Point,
    /// Provably of this machine and this configuration: retention acts on it.
    is_own: bool,
    /// All three are `null` when it was never read back.
    verified_at: Option<DateTime<Utc>>,
    verified_percent: Option<u8>,
    verified_ok: Option<bool>,
    /// All three are `null` when it was never drilled, the last one also when it did not come back.
    drilled_at: Option<DateTime<Utc>>,
    drill_outcome: Option<DrillOutcome>,
    drill_recovery_seconds: Option<f64>,
}

impl<'a> Listed<'a> {
    fn of(
        point: &'a Point,
        whose: &Whose<'_>,
        memory: Option<&Memory>,
        drilled: Option<&DrillReport>,
    ) -> Self {
        let known = memory.and_then(|memory| memory.of(point));
        Self {
            point,
            is_own: whose.is_own(point),
            verified_at: known.map(|known| known.verified_at),
            verified_percent: known.map(|known| known.percent),
            verified_ok: known.map(|known| known.is_good),
            drilled_at: drilled.map(|drill| drill.finished_at),
            drill_outcome: drilled.map(|drill| drill.outcome),
            drill_recovery_seconds: drilled.and_then(|drill| drill.recovery_seconds),
        }
    }

    fn drilled(&self, now: DateTime<Utc>) -> String {
        let (Some(at), Some(outcome)) = (self.drilled_at, self.drill_outcome) else {
            return "-".to_owned();
        };
        let age = text::age(at, now);
        match self.drill_recovery_seconds {
            Some(seconds) => format!("{outcome}, {age} ago, in {}", text::seconds(seconds)),
            None => format!("{outcome}, {age} ago"),
        }
    }

    fn verified(&self, now: DateTime<Utc>) -> String {
        match (self.verified_at, self.verified_percent, self.verified_ok) {
            (_, _, Some(false)) => "damaged".to_owned(),
            (Some(at), Some(100), _) => format!("{} ago", text::age(at, now)),
            (Some(at), Some(percent), _) => format!("{} ago, {percent} %", text::age(at, now)),
            _ => "-".to_owned(),
        }
    }
}

/// Never worth a failure.
fn remembered(cx: &Context, repository: &str) -> Option<Memory> {
    let memory = Memory::load(&cx.paths.verified(), repository);
    let damaged = match &memory {
        Ok(memory) => memory
            .damaged
            .iter()
            .map(|path| format!("`{}` is damaged", path.display()))
            .collect(),
        Err(error) => vec![format!("{error:#}")],
    };
    for what in damaged {
        cx.ui.warn(format!(
            "{what}: a point may have been verified all the same; `kopi-docka verify` finds out again"
        ));
    }
    memory.ok()
}
