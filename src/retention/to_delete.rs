//! The snapshots of the points that go, in the order in which they are deleted.

use std::collections::HashSet;

use crate::drivers::kopia::Manifest;
use crate::model::SnapshotId;
use crate::points::point::Point;

/// Recipes first: were the deletion cut short, what is left is an unfinished point, which the next run removes, and never one that
/// looks whole without its data. A snapshot whose root object is named by any recipe that stays is not among them.
pub fn snapshots(manifests: &[Manifest], going: &[&Point]) -> Vec<SnapshotId> {
    let ids: HashSet<&str> = going
        .iter()
        .flat_map(|point| &point.snapshots)
        .map(String::as_str)
        .collect();
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
}
