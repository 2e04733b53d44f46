//! `list --snapshots`: the restore points in the repository, graded.

use chrono::Utc;
use serde_json::json;

use crate::context::Context;
use crate::error::Result;
use crate::model::UnitName;
use crate::repository::Repository;
use crate::restore::points::{Point, PointState, points};
use crate::ui::{table, text};

pub async fn run(cx: &Context, units: &[UnitName], all_hosts: bool) -> Result<u8> {
    cx.require_root("list --snapshots")?;
    let loaded = cx.config()?;
    let repository = Repository::of(cx, &loaded.config)?;
    repository.open().await?;
    let identity = repository.kopia.identity();
    let points: Vec<Point> = points(&repository.kopia.list().await?)
        .into_iter()
        .filter(|point| all_hosts || point.identity == identity)
        .filter(|point| units.is_empty() || units.contains(&point.unit))
        .collect();
    if cx.ui.json {
        cx.ui.answer_json(&json!({ "points": points }));
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
            text::bytes(point.bytes),
            point.identity.clone(),
            point.problems.join("; "),
        ]
    });
    cx.ui.answer(table::table(
        ["UNIT", "BACKUP ID", "AGE", "GRADE", "SIZE", "MADE BY", ""],
        &[4],
        rows,
    ));
    Ok(0)
}
