//! The snapshots of the points that go, in the order in which they are deleted.

use std::collections::{HashMap, HashSet};

use crate::drivers::kopia::Manifest;
use crate::model::SnapshotId;
use crate::points::point::Point;

/// Recipes first: were the deletion cut short, what is left is an unfinished point, which the next run removes, and never one that
/// looks whole without its data. A snapshot whose root object is named by any recipe that stays is not among them.
pub fn snapshots(manifests: &[Manifest], going: &[&Point]) -> Vec<SnapshotId> {
    let mut ids: HashSet<&str> = going
        .iter()
        .flat_map(|point| &point.snapshots)
        .map(String::as_str)
        .collect();
    ids.extend(left_behind(manifests, &ids));
    let (going, staying): (Vec<&Manifest>, Vec<&Manifest>) = manifests
        .iter()
        .partition(|manifest| ids.contains(manifest.id.as_str()));
    let needed: HashSet<&str> = staying
        .iter()
        .filter_map(|manifest| manifest.roots())
        .flatten()
        .collect();
    let is_needed = |manifest: &Manifest| {
        let root = manifest.root_entry.as_ref();
        root.is_some_and(|root| needed.contains(root.obj.as_str()))
    };
    let (recipes, others): (Vec<&Manifest>, Vec<&Manifest>) = going
        .into_iter()
        .filter(|manifest| !is_needed(manifest))
        .partition(|manifest| manifest.tag("type") == Some("recipe"));
    recipes
        .into_iter()
        .chain(others)
        .filter_map(|manifest| SnapshotId::parse(&manifest.id).ok())
        .collect()
}

/// What older runs stored of the points that go, and that is of no point any more since those have gone before.
fn left_behind<'a>(manifests: &'a [Manifest], going: &HashSet<&str>) -> Vec<&'a str> {
    let run = |one: &'a Manifest| Some((one.identity(), one.tag("unit")?, one.tag("backup_id")?));
    let is_recipe = |one: &&Manifest| one.tag("type") == Some("recipe");
    let recipes = || manifests.iter().filter(is_recipe);
    let points: HashSet<_> = recipes().filter_map(run).collect();
    // By root, the runs that it was needed by.
    let mut needed: HashMap<&str, Vec<_>> = HashMap::new();
    for recipe in recipes().filter(|one| going.contains(one.id.as_str())) {
        for root in recipe.roots().into_iter().flatten() {
            needed.entry(root).or_default().extend(run(recipe));
        }
    }
    let is_left = |one: &&'a Manifest| {
        let root = one.root_entry.as_ref().map(|root| root.obj.as_str());
        let needed_by = root.and_then(|root| needed.get(root));
        let (Some(needed_by), Some(stored)) = (needed_by, run(one)) else {
            return false;
        };
        let (by, of, at) = &stored;
        // A run that is under way is younger.
        let mut needed_by = needed_by.iter();
        !points.contains(&stored)
            && needed_by.any(|(whose, unit, id)| whose == by && unit == of && at < id)
    };
    let others = manifests.iter().filter(|one| !is_recipe(one));
    others.filter(is_left).map(|one| one.id.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::points::point::points;

    fn snapshot(id: &str, run: &str, kind: &str, root: &str, roots: Option<&str>) -> Value {
        let mut tags =
            json!({"tag:type": kind, "tag:unit": "web", "tag:backup_id": run, "tag:grade": "ok"});
        if let Some(roots) = roots {
            tags["tag:roots"] = json!(roots);
        }
        json!({
            "id": id, "source": {"host": "h", "userName": "kopi-docka", "path": "/p"},
            "startTime": "2026-01-02T03:04:05Z",
            "rootEntry": {"obj": root, "summ": {"size": 5, "files": 1, "numFailed": 0}},
            "tags": tags
        })
    }

    #[test]
    fn recipes_go_first_and_what_a_kept_point_names_stays() {
        let (old, new) = ("2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z");
        let manifests: Vec<Manifest> = serde_json::from_value(json!([
            snapshot("a1", old, "volume", "k1", None),
            snapshot("a2", old, "volume", "k2", None),
            snapshot("a9", old, "recipe", "k9", Some("k1,k2")),
            snapshot("b3", new, "volume", "k3", None),
            snapshot("b8", new, "recipe", "k8", Some("k1,k3")),
        ]))
        .unwrap();
        let points = points(&manifests);
        let ids = |going: &[&Point]| -> Vec<String> {
            let ids = snapshots(&manifests, going);
            ids.into_iter().map(String::from).collect()
        };
        assert_eq!(ids(&[&points[1]]), ["a9", "a2"]);
        assert_eq!(ids(&[&points[0]]), ["b8", "b3"]);
        assert_eq!(
            ids(&[&points[0], &points[1]]),
            ["a9", "b8", "a1", "a2", "b3"]
        );
        assert!(ids(&[]).is_empty());
    }

    #[test]
    fn what_is_left_of_older_points_goes_with_the_last_one_that_needs_it() {
        let days = [1, 2, 3, 4].map(|day| format!("2026-01-0{day}T00-00-00Z"));
        let mut manifests = vec![
            snapshot("a1", &days[0], "volume", "k1", None),
            snapshot("b2", &days[1], "volume", "k2", None),
            snapshot("b8", &days[1], "recipe", "k8", Some("k1,k2")),
            snapshot("c3", &days[2], "volume", "k3", None),
            snapshot("c9", &days[2], "recipe", "k9", Some("k1,k3")),
            // A run that is under way found the same.
            snapshot("d1", &days[3], "volume", "k1", None),
        ];
        // That of another host.
        let mut other = snapshot("e1", &days[0], "volume", "k1", None);
        other["source"]["host"] = json!("other");
        manifests.push(other);
        let manifests: Vec<Manifest> = serde_json::from_value(Value::Array(manifests)).unwrap();
        let points = points(&manifests);
        let ids = |going: &[&str]| -> Vec<String> {
            let going: Vec<&Point> = points
                .iter()
                .filter(|point| going.contains(&&*point.backup_id.to_string()))
                .collect();
            let ids = snapshots(&manifests, &going);
            ids.into_iter().map(String::from).collect()
        };
        assert_eq!(ids(&[&days[1]]), ["b8", "b2"]);
        assert_eq!(ids(&[&days[1], &days[2]]), ["b8", "c9", "a1", "b2", "c3"]);
    }
}
