//! What one listing of all snapshots can tell of an old point. It names no list of what it should have: what its recipe
//! names and the point lacks comes out when a restore is planned.

use super::members::Members;
use crate::base::text::printable;
use crate::drivers::kopia::Manifest;
use crate::model::{Grade, ObjectId};
use crate::points::point::{Point, PointState};

/// Fills in what depends on the snapshots of `point`.
pub fn judge(point: &mut Point, group: &[&Manifest]) {
    let members = Members::of(group);
    if let Some(first) = group.iter().filter_map(|one| one.started_at()).min() {
        // Its tags have local times without a zone, some have none.
        point.time = first;
    }
    let found = || members.sources.values().flatten();
    point.bytes = found()
        .filter_map(|manifest| Some(manifest.root_entry.as_ref()?.summ.size))
        .sum();
    point.recipe = members
        .recipe()
        .and_then(|recipe| ObjectId::parse(&recipe.root_entry.as_ref()?.obj).ok());
    point.problems = of_recipe(&members);
    let lost = members.sources.iter().filter(|(_, found)| found.is_none());
    point
        .problems
        .extend(lost.map(|(key, _)| printable(&format!("{key} was not saved whole"))));
    point.state = if point.problems.is_empty() {
        PointState::Whole
    } else if point.recipe.is_some() || found().next().is_some() {
        PointState::Partial
    } else {
        PointState::Unfinished
    };
    if point.state != PointState::Unfinished {
        point.grade = Some(Grade::Unproven);
    }
}

/// What makes it less than whole beside sources that were not saved, one sentence each.
pub fn of_recipe(members: &Members) -> Vec<String> {
    let mut problems = Vec::new();
    match members.recipe {
        Some(Some(_)) => {}
        Some(None) => problems.push("its recipe was not saved whole".to_owned()),
        None if members.is_minimal() => problems
            .push("it has data alone, no recipe: it was made with the scope `minimal`".to_owned()),
        None => problems.push("it has no recipe".to_owned()),
    }
    if matches!(members.networks, Some(None)) {
        problems.push("its networks were not saved whole".to_owned());
    }
    if members.nameless > 0 {
        problems.push(format!(
            "{} of its snapshots do not say what they are of",
            members.nameless
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::points::point::{Tool, points};

    fn snapshot(kind: &str, second: u32, tags: Value) -> Value {
        let mut all =
            json!({"tag:type": kind, "tag:unit": "web", "tag:backup_id": "09b4417c-dac5"});
        all.as_object_mut()
            .unwrap()
            .extend(tags.as_object().unwrap().clone());
        json!({
            "id": format!("{second:02x}"), "source": {"host": "h", "userName": "root", "path": "/p"},
            "startTime": format!("2026-01-02T03:04:{second:02}Z"),
            "rootEntry": {
                "type": "d", "obj": format!("k{second}"), "mode": "0755", "mtime": "2026-01-02T03:04:05Z",
                "summ": {"size": 5, "files": 1, "numFailed": 0}
            },
            "tags": all
        })
    }

    fn recipe() -> Value {
        snapshot("recipe", 1, json!({"tag:timestamp": "2030-01-01T00:00:00"}))
    }

    fn volume(second: u32) -> Value {
        snapshot("volume", second, json!({"tag:volume": "web_db"}))
    }

    fn failed(mut snapshot: Value) -> Value {
        snapshot["rootEntry"]["summ"]["numFailed"] = json!(1);
        snapshot
    }

    fn judged(list: &[Value]) -> Point {
        let manifests: Vec<Manifest> = serde_json::from_value(json!(list)).unwrap();
        points(&manifests).remove(0)
    }

    #[test]
    fn only_what_was_saved_whole_with_a_recipe_is_whole() {
        let state = |list: &[Value]| judged(list).state;
        assert_eq!(state(&[recipe(), volume(2)]), PointState::Whole);
        assert_eq!(state(&[volume(2)]), PointState::Partial);
        assert_eq!(state(&[recipe(), failed(volume(2))]), PointState::Partial);
        assert_eq!(state(&[failed(recipe()), volume(2)]), PointState::Partial);
        assert_eq!(state(&[failed(volume(2))]), PointState::Unfinished);
        let mut cancelled = volume(2);
        cancelled["incomplete"] = json!("canceled");
        assert_eq!(state(&[recipe(), cancelled]), PointState::Partial);
        // Of doubles a complete one counts, even when a later one failed.
        let doubles = [recipe(), volume(2), failed(volume(3))];
        assert_eq!(state(&doubles), PointState::Whole);
        let nameless = snapshot("volume", 2, json!({}));
        assert_eq!(state(&[recipe(), nameless]), PointState::Partial);
        let networks = failed(snapshot("networks", 4, json!({})));
        assert_eq!(state(&[recipe(), volume(2), networks]), PointState::Partial);
        let minimal = snapshot(
            "volume",
            2,
            json!({"tag:volume": "v", "tag:backup_scope": "minimal"}),
        );
        assert!(judged(&[minimal]).problems[0].contains("`minimal`"));
    }

    #[test]
    fn its_time_is_that_of_its_first_snapshot_whatever_its_tags_say() {
        let point = judged(&[volume(9), recipe(), volume(30)]);
        assert_eq!(point.time.to_rfc3339(), "2026-01-02T03:04:01+00:00");
        assert_eq!((point.made_by, point.bytes), (Tool::Python, 5));
        assert_eq!(point.grade, Some(Grade::Unproven));
        assert!(
            point.is_of_host(None, &"kopi-docka@h".into())
                && !point.is_of_host(None, &"kopi-docka@g".into())
        );
        assert!(point.is_of_host(Some("H"), &"kopi-docka@g".into()));
        // Early versions had ids like ours.
        let mut early = recipe();
        early["tags"]["tag:backup_id"] = json!("2025-01-31T23-59-59Z");
        assert_eq!(judged(std::slice::from_ref(&early)).made_by, Tool::Python);
        early["source"]["userName"] = json!("kopi-docka");
        assert_eq!(judged(&[early]).made_by, Tool::KopiDocka);
    }
}
