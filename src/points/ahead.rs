//! Streams whose kopia starts before the plan is made: to open a repository takes it as long as we need for the recipe and the disks.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use super::point::{Point, Tool};
use crate::drivers::kopia::{Kopia, Manifest, STREAM_FILE};
use crate::drivers::tool::{Child, Output, pipe};
use crate::error::Result;
use crate::model::ObjectId;
use crate::model::point::{Part, PartKind};

/// A kopia that writes a stream into a pipe, as far as that takes it. Killed when dropped.
pub struct Opened {
    pub kopia: Child,
    pub stream: OwnedFd,
}

impl Opened {
    /// The file `name` in the directory `root`.
    pub fn of_file(kopia: &Kopia, root: &ObjectId, name: &str) -> Result<Self> {
        Self::begin(|output| kopia.show(root, name, output))
    }

    pub fn of_object(kopia: &Kopia, object: &ObjectId) -> Result<Self> {
        Self::begin(|output| kopia.show_object(object, output))
    }

    fn begin(show: impl FnOnce(Output) -> Result<Child>) -> Result<Self> {
        let stream = pipe()?;
        let kopia = show(Output::Pipe(stream.writer))?;
        Ok(Self {
            kopia,
            stream: stream.reader,
        })
    }
}

/// By the root object of their snapshots.
#[derive(Default)]
pub struct Ahead(Mutex<BTreeMap<ObjectId, Opened>>);

impl Ahead {
    /// The largest streams of `point` that are read first, `limit` of them. One that does not start is left to who needs it, who says why.
    pub fn open(kopia: &Kopia, manifests: &[Manifest], point: &Point, limit: usize) -> Self {
        let mut streams = first_streams(manifests, point);
        streams.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        streams.truncate(limit);
        let opened = streams.into_iter().filter_map(|(_, root)| {
            Some((
                root.clone(),
                Opened::of_file(kopia, &root, STREAM_FILE).ok()?,
            ))
        });
        Self(Mutex::new(opened.collect()))
    }

    /// The one of `part`, if it was started.
    pub fn take(&self, part: &Part) -> Option<Opened> {
        let is_ours = part.kind.is_tar() && part.kind != PartKind::OnlyFile;
        let is_stream = is_ours && part.file == STREAM_FILE;
        is_stream.then(|| self.lock().remove(&part.root))?
    }

    /// Ends those that are none of `parts`, which are the first of their sources.
    pub fn keep<'a>(&self, parts: impl Iterator<Item = &'a Part>) {
        let wanted: Vec<&ObjectId> = parts.map(|part| &part.root).collect();
        self.lock().retain(|root, _| wanted.contains(&root));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectId, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With their lengths. Of a source that is made of several parts the first may be of an older run; the recipe names them in their order.
fn first_streams(manifests: &[Manifest], point: &Point) -> Vec<(u64, ObjectId)> {
    let is_of_point = |manifest: &&Manifest| point.snapshots.contains(&manifest.id);
    let recipe = manifests
        .iter()
        .filter(|_| point.made_by == Tool::KopiDocka)
        .filter(is_of_point)
        .find(|manifest| manifest.tag("type") == Some("recipe"));
    let mut by_root: BTreeMap<&str, Vec<&Manifest>> = BTreeMap::new();
    for manifest in manifests {
        if let (Some("tar"), Some(root)) = (manifest.tag("backup_format"), &manifest.root_entry) {
            by_root.entry(&root.obj).or_default().push(manifest);
        }
    }
    let mut begun: BTreeSet<&str> = BTreeSet::new();
    let mut streams = Vec::new();
    for root in recipe.and_then(Manifest::roots).into_iter().flatten() {
        let filed = by_root.get(root).into_iter().flatten();
        // The parts of a source are all filed under one path.
        let new = filed.filter(|manifest| begun.insert(&manifest.source.path));
        let is_first = new.count() > 0;
        let size = by_root.get(root).and_then(|all| all.first());
        let size = size.and_then(|one| one.root_entry.as_ref());
        if let (true, Some(size), Ok(root)) = (is_first, size, ObjectId::parse(root)) {
            streams.push((size.summ.size, root));
        }
    }
    streams
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::points::point::points;

    fn snapshot(id: &str, run: &str, path: &str, root: &str, roots: Option<&str>) -> Value {
        let mut tags = json!({"tag:unit": "web", "tag:backup_id": run, "tag:backup_format": "tar"});
        if let Some(roots) = roots {
            tags["tag:type"] = json!("recipe");
            tags["tag:roots"] = json!(roots);
        }
        json!({
            "id": id, "source": {"host": "h", "userName": "kopi-docka", "path": path},
            "startTime": "2026-01-02T03:04:05Z", "endTime": "2026-01-02T03:04:05Z",
            "rootEntry": {"name": "x", "type": "d", "obj": root, "summ": {"size": 7, "files": 1, "symlinks": 0, "dirs": 1, "maxTime": "2026-01-02T03:04:05Z", "numFailed": 0}},
            "tags": tags,
        })
    }

    #[test]
    fn only_streams_that_are_read_first_are_begun() {
        let (old, new) = ("2026-01-01T00-00-00Z", "2026-01-02T00-00-00Z");
        let manifests = json!([
            snapshot("a1", old, "/p/web/volumes/a", "k1", None),
            snapshot("a2", new, "/p/web/volumes/a", "k2", None),
            snapshot("a3", new, "/p/web/volumes/a", "k3", None),
            snapshot("b1", new, "/p/web/volumes/b", "k4", None),
            snapshot("r1", new, "/p/web/recipe", "k9", Some("k1,k2,k3,k4")),
        ]);
        let manifests: Vec<Manifest> = serde_json::from_value(manifests).unwrap();
        let points = points(&manifests);
        let point = points
            .iter()
            .find(|point| point.backup_id.to_string() == new)
            .unwrap();
        let first: Vec<String> = first_streams(&manifests, point)
            .iter()
            .map(|(_, root)| root.to_string())
            .collect();
        assert_eq!(first, ["k1", "k4"]);
    }
}
