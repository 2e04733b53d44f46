//! Which points go. Pure: points, rules and a clock in, a decision out.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::rules;
use crate::base::text;
use crate::config::Retention;
use crate::model::Identity;
use crate::model::{Grade, PointId, UnitKind, UnitName};
use crate::points::point::{Point, PointState, Tool};

/// How long an unfinished point may still be at work, or be examined by the operator.
const UNFINISHED_FOR: TimeDelta = TimeDelta::hours(24);

/// How far ahead of this host's clock a point may be before the clock is no longer trusted.
const AHEAD: TimeDelta = TimeDelta::hours(1);

/// What is decided for one unit.
#[derive(Debug)]
pub struct UnitDecision<'a> {
    pub unit: &'a UnitName,
    /// A project and a container of one name are two units.
    pub kind: Option<UnitKind>,
    pub going: Vec<&'a Point>,
    pub kept: usize,
    /// Every rule is 0.
    pub keeps_everything: bool,
    /// Why nothing goes although it may have to.
    pub warning: Option<String>,
}

/// Decides for each unit of `identity`, of whose points only those that are provably ours are given, by the name of the unit. `under_way` is the run that asks.
pub fn decide<'a>(
    points: &'a [Point],
    identity: &Identity,
    retention: impl Fn(&UnitName) -> Retention,
    under_way: Option<&PointId>,
    now: DateTime<Utc>,
) -> Vec<UnitDecision<'a>> {
    let mut units: BTreeMap<(&UnitName, Option<UnitKind>), Vec<&Point>> = BTreeMap::new();
    for point in points {
        if point.made_by == Tool::KopiDocka && point.identity == *identity {
            let unit = units.entry((&point.unit, point.kind)).or_default();
            unit.push(point);
        }
    }
    let decide = |((unit, kind), points)| UnitDecision {
        kind,
        ..decide_unit(unit, points, &retention(unit), under_way, now)
    };
    units.into_iter().map(decide).collect()
}

fn decide_unit<'a>(
    unit: &'a UnitName,
    mut points: Vec<&'a Point>,
    retention: &Retention,
    under_way: Option<&PointId>,
    now: DateTime<Utc>,
) -> UnitDecision<'a> {
    points.sort_by_key(|point| std::cmp::Reverse(point.time));
    let mut decision = UnitDecision {
        unit,
        kind: None,
        going: Vec::new(),
        kept: points.len(),
        keeps_everything: retention.keeps_everything(),
        warning: None,
    };
    if let Some(ahead) = points.iter().find(|point| point.time > now + AHEAD) {
        decision.warning = Some(format!(
            "no restore point of unit `{unit}` is removed: point {} is from the future by the clock of this host ({})",
            ahead.backup_id,
            text::minute(now)
        ));
        return decision;
    }
    // What it lacks may be in the older ones alone.
    let newest = points
        .iter()
        .find(|point| point.state != PointState::Unfinished);
    let suspended =
        newest.filter(|point| point.state == PointState::Partial && !decision.keeps_everything);
    if let Some(lacking) = suspended {
        decision.warning = Some(format!(
            "no restore point of unit `{unit}` is removed: the newest, {}, lacks something. Bring that back, or agree to its loss: `kopi-docka backup --accept-loss {unit}`",
            lacking.backup_id
        ));
    }
    let is_suspended = suspended.is_some();
    let whole: Vec<&Point> = points
        .iter()
        .filter(|point| point.state == PointState::Whole)
        .copied()
        .collect();
    let times: Vec<DateTime<Utc>> = whole.iter().map(|point| point.time).collect();
    let mut is_kept = rules::kept(&times, retention).into_iter();
    // Newer ones may be hot every night.
    let newest_ok = whole.iter().find(|point| point.grade == Some(Grade::Ok));
    let newest_ok = newest_ok.map(|point| point.backup_id.clone());
    let is_held = |point: &Point| {
        let holds = whole.first().map_or(&[][..], |newest| &newest.holds);
        holds
            .iter()
            .any(|hold| hold.point == point.backup_id && hold.until > now)
    };
    for point in points {
        let stays = match point.state {
            PointState::Whole => {
                // Asked for each of them: they come in the same order.
                let by_rules = is_kept.next().unwrap_or(true);
                by_rules
                    || is_suspended
                    || newest_ok.as_ref() == Some(&point.backup_id)
                    || is_held(point)
            }
            PointState::Partial if is_suspended => true,
            // A newer version of this program may know what its grade means.
            PointState::Partial if point.grade.is_none() => true,
            PointState::Partial => {
                decision.keeps_everything || times.first().is_none_or(|newest| point.time > *newest)
            }
            PointState::Unfinished => {
                under_way == Some(&point.backup_id) || now - point.time < UNFINISHED_FOR
            }
        };
        if !stays {
            decision.going.push(point);
        }
    }
    decision.kept -= decision.going.len();
    decision
}

#[cfg(test)]
mod tests;
