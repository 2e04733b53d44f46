//! All directories of a snapshot of plain files, read before anything is written: kopia takes any name for a path, so that a
//! forged directory with an entry `../../x` would be restored to there.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::base::activity::Activity;
use crate::base::text::printable;
use crate::drivers::kopia::{Entry, FOLDERS_AT_ONCE, Kopia, PROCESSES};
use crate::error::Result;
use crate::model::ObjectId;

/// Deeper than any path that Linux takes.
const MAX_DEPTH: usize = 2048;

/// Every name in it is one that a directory can have.
#[derive(Debug)]
pub struct Tree {
    root: ObjectId,
    /// Directories with the same content are one object.
    folders: HashMap<ObjectId, Vec<Entry>>,
}

/// What is in a directory, with all that is below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    pub entries: u64,
    /// Of the files.
    pub bytes: u64,
}

impl Tree {
    /// Reads every directory below `root`. `alive` counts them.
    pub async fn read(kopia: &Kopia, root: &ObjectId, alive: &Activity) -> Result<Self> {
        let mut folders: HashMap<ObjectId, Vec<Entry>> = HashMap::new();
        let mut wanted = vec![root.clone()];
        while !wanted.is_empty() {
            let read: Vec<Vec<(ObjectId, Vec<Entry>)>> =
                stream::iter(wanted.chunks(FOLDERS_AT_ONCE))
                    .map(|ids| async move {
                        let read = kopia.read_folders(ids).await?;
                        alive.add(ids.len() as u64);
                        Ok::<_, anyhow::Error>(ids.iter().cloned().zip(read).collect())
                    })
                    .buffer_unordered(PROCESSES)
                    .try_collect()
                    .await?;
            let mut next = HashSet::new();
            for (id, entries) in read.into_iter().flatten() {
                check(&entries)?;
                let below = entries.iter().filter(|entry| entry.is_folder());
                next.extend(below.map(|entry| entry.obj.clone()));
                folders.insert(id, entries);
            }
            wanted = next
                .into_iter()
                .filter(|id| !folders.contains_key(id))
                .collect();
        }
        Ok(Self {
            root: root.clone(),
            folders,
        })
    }

    pub fn root(&self) -> &ObjectId {
        &self.root
    }

    pub fn folder(&self, id: &ObjectId) -> Result<&[Entry]> {
        let entries = self.folders.get(id).map(Vec::as_slice);
        entries.with_context(|| format!("the directory {id} was not read"))
    }

    /// How much is in it. Objects that stand in many places count in each of them.
    pub fn measure(&self) -> Result<Measure> {
        self.measure_folder(&self.root, 0, &mut HashMap::new())
    }

    fn measure_folder(
        &self,
        id: &ObjectId,
        depth: usize,
        known: &mut HashMap<ObjectId, Measure>,
    ) -> Result<Measure> {
        if let Some(measure) = known.get(id) {
            return Ok(*measure);
        }
        anyhow::ensure!(
            depth < MAX_DEPTH,
            "its directories are deeper than a path can be"
        );
        let mut measure = Measure::default();
        for entry in self.folder(id)? {
            measure.entries = measure.entries.saturating_add(1);
            let below = if entry.is_folder() {
                self.measure_folder(&entry.obj, depth + 1, known)?
            } else {
                Measure {
                    entries: 0,
                    bytes: if entry.is_file() { entry.size } else { 0 },
                }
            };
            measure.entries = measure.entries.saturating_add(below.entries);
            measure.bytes = measure.bytes.saturating_add(below.bytes);
        }
        known.insert(id.clone(), measure);
        Ok(measure)
    }

    /// Calls `say` with every path in it and what is there: a directory before what it holds, all in the order of their names.
    pub fn each(&self, say: &mut impl FnMut(&str, &Entry)) -> Result<()> {
        self.each_below(&self.root, "", 0, say)
    }

    fn each_below(
        &self,
        id: &ObjectId,
        above: &str,
        depth: usize,
        say: &mut impl FnMut(&str, &Entry),
    ) -> Result<()> {
        anyhow::ensure!(
            depth < MAX_DEPTH,
            "its directories are deeper than a path can be"
        );
        for entry in self.folder(id)? {
            let path = format!("{above}{}", entry.name);
            say(&path, entry);
            if entry.is_folder() {
                self.each_below(&entry.obj, &format!("{path}/"), depth + 1, say)?;
            }
        }
        Ok(())
    }

    /// The entry at `path`, and the directories above it, the outermost first.
    pub fn find(&self, path: &std::path::Path) -> Result<Option<(Vec<&Entry>, &Entry)>> {
        let mut above = Vec::new();
        let mut folder = &self.root;
        let mut names = path.iter().peekable();
        while let Some(name) = names.next() {
            let entries = self.folder(folder)?;
            let Some(entry) = entries.iter().find(|entry| name == entry.name.as_str()) else {
                return Ok(None);
            };
            if names.peek().is_none() {
                return Ok(Some((above, entry)));
            }
            if !entry.is_folder() {
                return Ok(None);
            }
            above.push(entry);
            folder = &entry.obj;
        }
        Ok(None)
    }
}

/// Refuses what is no content of a folder: with such names kopia writes outside of its target, or through a link.
fn check(entries: &[Entry]) -> Result<()> {
    let mut names = BTreeSet::new();
    for entry in entries {
        let name = entry.name.as_str();
        let is_name = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
        anyhow::ensure!(
            is_name,
            "a directory of it has an entry `{}`, which cannot be a file name: it may be forged",
            printable(name)
        );
        anyhow::ensure!(
            names.insert(name),
            "a directory of it has two entries `{}`: it may be forged",
            printable(name)
        );
        anyhow::ensure!(
            entry.is_file() || entry.is_folder() || entry.is_link(),
            "it has an entry `{}` of a kind `{}` that this version does not know",
            printable(name),
            printable(&entry.kind)
        );
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    pub fn entry(name: &str, kind: &str, obj: &str, size: u64) -> Entry {
        serde_json::from_value(json!({
            "name": name, "type": kind, "mode": "0640", "size": size, "mtime": "2026-01-02T03:04:05.123456789Z", "obj": obj
        }))
        .unwrap()
    }

    pub fn tree(folders: &[(&str, Vec<Entry>)]) -> Tree {
        let id = |text: &str| ObjectId::parse(text).unwrap();
        Tree {
            root: id(folders[0].0),
            folders: folders
                .iter()
                .map(|(name, entries)| (id(name), entries.clone()))
                .collect(),
        }
    }

    #[test]
    fn names_that_lead_out_of_a_folder_are_refused() {
        for hostile in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a/"] {
            let error = check(&[entry(hostile, "f", "a1", 1)]).unwrap_err();
            assert!(error.to_string().contains("forged"), "{hostile:?}: {error}");
        }
        for odd in ["...", "a\nb", "-x", "*", "ünï", " "] {
            check(&[entry(odd, "f", "a1", 1)]).unwrap();
        }
        // What comes second would be written through what came first.
        let link_and_folder = [entry("a", "s", "a1", 4), entry("a", "d", "k1", 0)];
        assert!(check(&link_and_folder).is_err());
        assert!(check(&[entry("pipe", "p", "a1", 1)]).is_err());
    }

    #[test]
    fn what_stands_in_two_places_counts_twice() {
        let tree = tree(&[
            (
                "k1",
                vec![entry("a", "d", "k2", 0), entry("b", "d", "k2", 0)],
            ),
            (
                "k2",
                vec![entry("f", "f", "a1", 5), entry("l", "s", "a2", 9)],
            ),
        ]);
        let expected = Measure {
            entries: 6,
            bytes: 10,
        };
        assert_eq!(tree.measure().unwrap(), expected);
        let mut paths = Vec::new();
        tree.each(&mut |path, _| paths.push(path.to_owned()))
            .unwrap();
        assert_eq!(paths, ["a", "a/f", "a/l", "b", "b/f", "b/l"]);
        let (above, found) = tree.find(Path::new("b/f")).unwrap().unwrap();
        assert_eq!((above.len(), found.size), (1, 5));
        for nothing in ["", "c", "a/f/x", "a/l/x", "f"] {
            assert!(
                tree.find(Path::new(nothing)).unwrap().is_none(),
                "{nothing}"
            );
        }
    }

    #[test]
    fn a_tree_without_end_is_refused() {
        let tree = tree(&[("k1", vec![entry("a", "d", "k1", 0)])]);
        assert!(tree.measure().is_err());
    }
}
