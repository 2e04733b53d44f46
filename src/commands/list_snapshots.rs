//! `list --snapshots`: the restore points in the repository, graded.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;
use crate::repository::Repository;
use crate::restore::points::{Point, PointState, points};
use crate::ui::{table, text};
use crate::verify::Memory;
use crate::whose::Whose;

pub async fn run(cx: &Context, units: &[UnitName], all_hosts: bool) -> Result<u8> {
    cx.require_root("list --snapshots")?;
    let loaded = cx.config()?;
    let repository = Repository::of(cx, &loaded.config)?;
    let status = repository.open().await?;
    let memory = remembered(cx, &status.unique_id);
    let identity = repository.kopia.identity();
    let all = points(&repository.kopia.list().await?);
    let whose = Whose::of(&all, repository.kopia.me(), None);
    let mut points: Vec<&Point> = all
        .iter()
        .filter(|point| all_hosts || point.is_of_host(None, &identity))
        .filter(|point| units.is_empty() || units.contains(&point.unit))
        .collect();
    // Stable: the newest first, those of this host before all others.
    points.sort_by_key(|point| !point.is_of_host(None, &identity));
    if cx.ui.json {
        let listed = points
            .iter()
            .map(|point| Listed::of(point, &whose, memory.as_ref()));
        let listed: Vec<Listed<'_>> = listed.collect();
        cx.ui.answer_json(&json!({ "points": listed }));
        return Ok(0);
    }
    if points.is_empty() {
        cx.ui
            .answer("No restore points. `kopi-docka backup` makes one.");
        return Ok(0);
    }
    let now = Utc::now();
    let rows = points.iter().map(|point| {
        [
            point.unit.to_string(),
            point.backup_id.to_string(),
            format!("{} ago", text::age(point.time, now)),
            match point.state {
                PointState::Whole => point.grade.map_or("-", |grade| grade.as_str()).to_owned(),
                PointState::Partial => "PARTIAL".to_owned(),
                PointState::Unfinished => "unfinished".to_owned(),
            },
            Listed::of(point, &whose, memory.as_ref()).verified(now),
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
            "SIZE",
            "MADE BY",
            "",
        ],
        &[5],
        rows,
    ));
    Ok(0)
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
}

impl<'a> Listed<'a> {
    fn of(point: &'a Point, whose: &Whose<'_>, memory: Option<&Memory>) -> Self {
        let known = memory.and_then(|memory| memory.of(point));
        Self {
            point,
            is_own: whose.is_own(point),
            verified_at: known.map(|known| known.verified_at),
            verified_percent: known.map(|known| known.percent),
            verified_ok: known.map(|known| known.is_good),
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
