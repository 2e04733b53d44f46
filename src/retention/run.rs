//! Asks the repository, decides, deletes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::decide::{UnitDecision, decide};
use super::own::Own;
use super::to_delete;
use crate::base::fault;
use crate::config::Config;
use crate::drivers::kopia::{Kopia, Manifest};
use crate::error::Result;
use crate::model::report::{RemovedPoint, RetentionReport, UnitRetention};
use crate::model::{PointId, SnapshotId, SourceKey, UnitName};
use crate::points::point::{Point, PointState, points};
use crate::points::whose::{ADOPT, Conflict, Whose};

/// What retention is about.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// `None` for every unit of this host that has points, whether the host still has it or not.
    pub units: Option<Vec<UnitName>>,
    /// The run that asks: its own unfinished points are not touched.
    pub under_way: Option<PointId>,
}

impl Scope {
    fn has(&self, unit: &UnitName) -> bool {
        self.units.as_ref().is_none_or(|units| units.contains(unit))
    }
}

/// What the repository holds, and what of it goes.
pub struct Outlook {
    pub report: RetentionReport,
    /// Of any host and tool.
    pub first_snapshot: Option<DateTime<Utc>>,
    /// What the points of this host that stay hold, with the newest one of each.
    pub held: BTreeMap<UnitName, BTreeMap<SourceKey, PointId>>,
    /// The units of this host that have points, whole or not.
    pub units: BTreeSet<UnitName>,
    /// Why nothing goes, and why maintenance must not run.
    pub conflict: Option<Conflict>,
    snapshots: Vec<SnapshotId>,
}

/// Decides, and touches nothing.
pub async fn look(kopia: &Kopia, config: &Config, scope: &Scope) -> Result<Outlook> {
    let manifests = kopia.list_without_gaps().await?;
    let points = points(&manifests);
    let whose = Whose::of(&points, kopia.me(), scope.under_way.as_ref());
    let now = Utc::now();
    let mut outlook = Outlook {
        report: RetentionReport {
            units: Vec::new(),
            snapshots: 0,
            warnings: Vec::new(),
        },
        first_snapshot: manifests.iter().filter_map(Manifest::started_at).min(),
        held: BTreeMap::new(),
        units: BTreeSet::new(),
        conflict: whose.conflict(now),
        snapshots: Vec::new(),
    };
    if let Some(conflict) = &outlook.conflict {
        outlook.report.warnings.push(conflict.warning());
        return Ok(outlook);
    }
    let mut own = Own::of(&points, &whose);
    let decide = |own: &Own| -> (RetentionReport, Vec<SnapshotId>, Vec<String>) {
        let mut decisions = decide(
            &own.points,
            &kopia.identity(),
            |unit| config.unit(unit.as_str()).retention,
            scope.under_way.as_ref(),
            now,
        );
        decisions.retain(|decision| scope.has(decision.unit));
        let going: Vec<&Point> = decisions
            .iter()
            .flat_map(|decision| decision.going.iter().copied())
            .collect();
        let snapshots = to_delete::snapshots(&manifests, &going);
        let ids = going
            .iter()
            .flat_map(|point| point.snapshots.iter().cloned())
            .collect();
        (report(&decisions, snapshots.len()), snapshots, ids)
    };
    let (mut report, mut snapshots, ids) = decide(&own);
    if own.prove_kinds(kopia, &ids).await {
        (report, snapshots, _) = decide(&own);
    }
    report.warnings.extend(
        whose
            .doubt(&points)
            .map(|doubt| format!("{doubt}; {ADOPT}")),
    );
    report
        .warnings
        .extend(whose.left_behind(&points, now).iter().map(|other| {
            format!(
                "{}; {}",
                other.sentence(&kopia.me().profile),
                other.remedy()
            )
        }));
    let gone: HashSet<&str> = snapshots.iter().map(SnapshotId::as_str).collect();
    let ids: HashSet<&str> = own
        .points
        .iter()
        .flat_map(|point| point.snapshots.iter().map(String::as_str))
        .filter(|id| !gone.contains(id))
        .collect();
    outlook.held = held(&manifests, |one| ids.contains(one.id.as_str()));
    outlook.units = own.points.iter().map(|point| point.unit.clone()).collect();
    outlook.report = report;
    outlook.snapshots = snapshots;
    Ok(outlook)
}

/// Decides, and deletes what goes.
///
/// Kopia deletes nothing at all when one of the snapshots is gone already, as when another process deletes at the same time: then it is
/// checked once more.
pub async fn apply(kopia: &Kopia, config: &Config, scope: &Scope) -> Result<Outlook> {
    fault::reached("retention").await;
    let deadline = config.backup.stall_timeout;
    let outlook = look(kopia, config, scope).await?;
    let Err(error) = delete(kopia, &outlook, deadline).await else {
        return Ok(outlook);
    };
    let again = look(kopia, config, scope).await?;
    if again.snapshots == outlook.snapshots {
        return Err(error);
    }
    delete(kopia, &again, deadline).await?;
    Ok(again)
}

async fn delete(kopia: &Kopia, outlook: &Outlook, deadline: Duration) -> Result<()> {
    kopia.delete_snapshots(&outlook.snapshots, deadline).await
}

fn report(decisions: &[UnitDecision<'_>], snapshots: usize) -> RetentionReport {
    RetentionReport {
        snapshots,
        warnings: decisions
            .iter()
            .filter_map(|decision| decision.warning.clone())
            .collect(),
        units: decisions.iter().map(unit_report).collect(),
    }
}

fn held(
    manifests: &[Manifest],
    stays: impl Fn(&Manifest) -> bool,
) -> BTreeMap<UnitName, BTreeMap<SourceKey, PointId>> {
    let mut held: BTreeMap<UnitName, BTreeMap<SourceKey, PointId>> = BTreeMap::new();
    let mut add = |unit: &UnitName, key: SourceKey, id: PointId| {
        let held = held.entry(unit.clone()).or_default();
        let newest = held.entry(key).or_insert_with(|| id.clone());
        *newest = id.max(newest.clone());
    };
    let mut by_root: HashMap<&str, Vec<&Manifest>> = HashMap::new();
    for manifest in manifests {
        if let Some(root) = &manifest.root_entry {
            by_root.entry(&root.obj).or_default().push(manifest);
        }
    }
    for manifest in manifests.iter().filter(|one| stays(one)) {
        let Some((unit, id)) = names(manifest) else {
            continue;
        };
        if let Some(key) = key_of(manifest) {
            add(&unit, key, id.clone());
        }
        // What it is made of may have been stored by older runs, and by none of its own.
        for root in manifest.roots().into_iter().flatten() {
            let stored = by_root.get(root).into_iter().flatten();
            let stored = stored.filter_map(|one| Some((names(one)?, key_of(one)?)));
            let of_unit: Vec<(PointId, SourceKey)> = stored
                .filter(|((of, _), _)| *of == unit)
                .map(|((_, by), key)| (by, key))
                .collect();
            if of_unit.iter().all(|(by, _)| *by != id) {
                for (_, key) in of_unit {
                    add(&unit, key, id.clone());
                }
            }
        }
    }
    held
}

fn names(manifest: &Manifest) -> Option<(UnitName, PointId)> {
    let unit = UnitName::parse(manifest.tag("unit")?).ok()?;
    Some((unit, PointId::parse(manifest.tag("backup_id")?).ok()?))
}

fn key_of(manifest: &Manifest) -> Option<SourceKey> {
    match (manifest.tag("volume"), manifest.tag("bind_source")) {
        (Some(name), _) => Some(SourceKey::Volume {
            name: name.to_owned(),
        }),
        (None, Some(path)) => Some(SourceKey::Bind { path: path.into() }),
        (None, None) => None,
    }
}

fn unit_report(decision: &UnitDecision<'_>) -> UnitRetention {
    UnitRetention {
        unit: decision.unit.clone(),
        kind: decision.kind,
        kept: decision.kept,
        keeps_everything: decision.keeps_everything,
        removed: decision.going.iter().map(|point| removed(point)).collect(),
    }
}

fn removed(point: &Point) -> RemovedPoint {
    let state = match point.state {
        PointState::Whole => "whole",
        PointState::Partial => "partial",
        PointState::Unfinished => "unfinished",
    };
    RemovedPoint {
        backup_id: point.backup_id.clone(),
        state: state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_point_holds_what_older_runs_stored_of_it() {
        let snapshot =
            |id: &str, run: &str, volume: Option<&str>, root: &str, roots: Option<&str>| {
                let mut tags = json!({"tag:unit": "web", "tag:backup_id": run});
                if let Some(volume) = volume {
                    tags["tag:volume"] = json!(volume);
                }
                if let Some(roots) = roots {
                    tags["tag:type"] = json!("recipe");
                    tags["tag:roots"] = json!(roots);
                }
                json!({
                    "id": id, "source": {"host": "h", "userName": "kopi-docka", "path": "/p/web/x"},
                    "rootEntry": {"name": "x", "type": "d", "obj": root}, "tags": tags,
                })
            };
        let (old, new) = ("2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z");
        let manifests = json!([
            snapshot("a", old, Some("a"), "k1", None),
            snapshot("gone", old, Some("gone"), "k2", None),
            snapshot("b", new, Some("b"), "k3", None),
            // The volume `twin` has the same in it as `b`, in another run.
            snapshot("t", old, Some("twin"), "k3", None),
            snapshot("r", new, None, "k9", Some("k1,k3")),
        ]);
        let manifests: Vec<Manifest> = serde_json::from_value(manifests).unwrap();
        let held = held(&manifests, |one| ["b", "r"].contains(&&*one.id));
        let held: Vec<(String, String)> = held[&UnitName::parse("web").unwrap()]
            .iter()
            .map(|(key, id)| (key.to_string(), id.to_string()))
            .collect();
        let expected = ["volume `a`", "volume `b`"].map(|key| (key.to_owned(), new.to_owned()));
        assert_eq!(held, expected);
    }
}
