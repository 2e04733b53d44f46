//! Brings plain files of a snapshot into a staging directory, byte for byte, with the modes, owners and times that Kopia has.
//!
//! Every name is checked first; then kopia writes the files; then what is there is compared with what was checked. Any
//! difference fails the source.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;

use super::settle::{Expected, Item, set, settle};
use super::tree::Tree;
use crate::base::activity::Activity;
use crate::base::blocking::start;
use crate::drivers::kopia::{Entry, Kopia, restored};
use crate::drivers::losses::{Losses, Tolerance};
use crate::drivers::tool::{Child, Ended, Output};
use crate::error::{Exit, Failure, Result};
use crate::model::ObjectId;
use crate::model::point::{Attributes, Part, PartKind};
use crate::points::feed::Feed;

/// How often it is looked how far kopia is.
const LOOK: Duration = Duration::from_millis(500);

/// The one file of a source that is a file, in its directory.
const FILE: &str = "file";

/// The stream of an old tar snapshot. Its name has slashes, so that no path leads to it.
pub async fn only_file(kopia: &Kopia, part: &Part) -> Result<ObjectId> {
    let mut folders = kopia.read_folders(std::slice::from_ref(&part.root)).await?;
    let entries = folders.pop().unwrap_or_default();
    match entries.as_slice() {
        [entry] if entry.is_file() && entry.size == part.bytes => Ok(entry.obj.clone()),
        _ => Err(damaged(
            "the snapshot does not hold the one archive that it should",
        )),
    }
}

impl Feed {
    /// Fills `folder`, which is there and empty; with `paths` alone, or with everything when there are none.
    pub async fn bring(
        &self,
        part: &Part,
        folder: &Path,
        paths: &[PathBuf],
        moved: &Activity,
        tolerance: Tolerance,
    ) -> Result<Losses> {
        match part.kind {
            PartKind::Tree(attributes) => {
                let alive = Activity::default();
                let reading = Tree::read(&self.kopia, &part.root, &alive);
                let tree = self.guarded(&alive, reading).await?;
                if tree.measure()?.bytes != part.bytes {
                    return Err(damaged(
                        "the files in it are not of the size that they were",
                    ));
                }
                let items = if paths.is_empty() {
                    self.bring_tree(&part.root, folder, part.bytes, moved)
                        .await?;
                    let expected = Expected::Folder(tree.root().clone());
                    vec![Item::new(folder.to_owned(), attributes, expected)]
                } else {
                    self.bring_paths(&tree, attributes, folder, paths, moved)
                        .await?
                };
                self.settle(tree, items, tolerance).await
            }
            PartKind::File(attributes) if paths.is_empty() => {
                let target = folder.join(FILE);
                self.bring_file(&part.root, &target, part.bytes, moved)
                    .await?;
                set(&target, &attributes, false, tolerance)
            }
            _ => Err(not_in_it()),
        }
    }

    /// Everything in the directory `object`, whose names were all checked, without attributes.
    async fn bring_tree(
        &self,
        object: &ObjectId,
        target: &Path,
        bytes: u64,
        moved: &Activity,
    ) -> Result<()> {
        let child = self.kopia.restore_tree(object, target)?;
        let progress = child.said();
        let ended = self
            .watched(child, bytes, moved, move || {
                restored(&progress.borrow().progress).unwrap_or_default()
            })
            .await?;
        if ended.status.success() {
            return Ok(());
        }
        Err(Kopia::failure(&ended))
    }

    /// The file `object`, without attributes.
    async fn bring_file(
        &self,
        object: &ObjectId,
        target: &Path,
        bytes: u64,
        moved: &Activity,
    ) -> Result<()> {
        let file = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(target)
            .with_context(|| format!("cannot write `{}`", target.display()))?;
        let child = self
            .kopia
            .show_object(object, Output::Pipe(file.try_clone()?.into()))?;
        let length = move || file.metadata().map_or(0, |metadata| metadata.len());
        let ended = self.watched(child, bytes, moved, || (0, length())).await?;
        if !ended.status.success() {
            return Err(Kopia::failure(&ended));
        }
        let found = length();
        if found != bytes {
            return Err(damaged(&format!(
                "the repository gave {found} bytes instead of {bytes}"
            )));
        }
        Ok(())
    }

    /// `paths` with the directories above them; returns what has to be there.
    async fn bring_paths(
        &self,
        tree: &Tree,
        root: Attributes,
        folder: &Path,
        paths: &[PathBuf],
        moved: &Activity,
    ) -> Result<Vec<Item>> {
        let mut items = BTreeMap::new();
        let root = Item::new(folder.to_owned(), root, Expected::Above);
        items.insert(folder.to_owned(), root);
        for path in paths {
            // One of them may be below another one.
            if path
                .ancestors()
                .skip(1)
                .any(|above| paths.iter().any(|other| other == above))
            {
                continue;
            }
            let (above, entry) = tree.find(path)?.ok_or_else(not_in_it)?;
            let mut place = folder.to_owned();
            for one in above {
                place.push(&one.name);
                if !items.contains_key(&place) {
                    std::fs::create_dir(&place)
                        .with_context(|| format!("cannot create `{}`", place.display()))?;
                    let item = Item::new(place.clone(), one.attributes(), Expected::Above);
                    items.insert(place.clone(), item);
                }
            }
            place.push(&entry.name);
            let item = Item::of(place.clone(), entry);
            if items.insert(place.clone(), item).is_none() {
                self.bring_entry(entry, &place, moved).await?;
            }
        }
        Ok(items.into_values().collect())
    }

    async fn bring_entry(&self, entry: &Entry, place: &Path, moved: &Activity) -> Result<()> {
        if entry.is_folder() {
            return self.bring_tree(&entry.obj, place, u64::MAX, moved).await;
        }
        if entry.is_file() {
            return self.bring_file(&entry.obj, place, entry.size, moved).await;
        }
        let reading = self.kopia.read_object(&entry.obj);
        let target = self.guarded(&Activity::default(), reading).await?;
        let target = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&target);
        std::os::unix::fs::symlink(target, place)
            .with_context(|| format!("cannot create `{}`", place.display()))
    }

    /// Waits for the end of a kopia that writes `bytes`; `now` tells how many files and bytes are there. When this returns, it
    /// is gone: nothing may write to the staging directory any more when it is removed.
    async fn watched(
        &self,
        mut child: Child,
        bytes: u64,
        moved: &Activity,
        now: impl Fn() -> (u64, u64),
    ) -> Result<Ended> {
        let alive = Activity::default();
        let mut last = (0, 0);
        let mut look = || {
            let (count, there) = now();
            let there = there.min(bytes);
            if (count, there) != last {
                alive.add(1);
                moved.add(there.saturating_sub(last.1));
                last = (count, there.max(last.1));
            }
        };
        let work = async {
            loop {
                match tokio::time::timeout(LOOK, child.wait()).await {
                    Ok(ended) => return ended,
                    Err(_) => look(),
                }
            }
        };
        let ended = self.guarded(&alive, work).await;
        if ended.is_err() {
            let _ = child.killed().await;
        } else {
            look();
        }
        ended
    }

    /// Compares and gives attributes, on a thread that is gone when this returns.
    async fn settle(&self, tree: Tree, items: Vec<Item>, tolerance: Tolerance) -> Result<Losses> {
        let is_over = Arc::new(AtomicBool::new(false));
        let alive = Activity::default();
        let (told, counted) = (Arc::clone(&is_over), alive.clone());
        let mut settling = start(move || {
            settle(&tree, items, tolerance, || {
                counted.add(1);
                !told.load(Ordering::Relaxed)
            })
        })?;
        let ended = self.guarded(&alive, async { (&mut settling).await? }).await;
        if ended.is_err() {
            is_over.store(true, Ordering::Relaxed);
            if !settling.is_terminated() {
                let _ = settling.await;
            }
        }
        ended
    }
}

fn damaged(what: &str) -> anyhow::Error {
    Failure::new(Exit::UnitsFailed, what.to_owned())
        .hint("the snapshot is damaged: take another restore point")
        .into()
}

fn not_in_it() -> anyhow::Error {
    Failure::new(
        Exit::NothingMatched,
        "not all of these paths are in the restore point",
    )
    .hint("give each as it is in the volume, relative to its root: upper and lower case count")
    .into()
}
