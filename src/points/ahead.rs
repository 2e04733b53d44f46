//! Streams whose kopia starts before the plan is made: to open a repository takes it as long as we need for the recipe and the disks.

use std::collections::BTreeMap;
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
    /// The largest streams of `point`, `limit` of them. One that does not start is left to who needs it, who says why.
    pub fn open(kopia: &Kopia, manifests: &[Manifest], point: &Point, limit: usize) -> Self {
        let mut streams: Vec<(u64, ObjectId)> = manifests
            .iter()
            .filter(|_| point.made_by == Tool::KopiDocka)
            .filter(|manifest| point.snapshots.contains(&manifest.id))
            .filter(|manifest| manifest.tag("backup_format") == Some("tar"))
            .filter_map(|manifest| manifest.root_entry.as_ref())
            .filter_map(|root| Some((root.summ.size, ObjectId::parse(&root.obj).ok()?)))
            .collect();
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
        let is_whole = part.kind == PartKind::Full && part.file == STREAM_FILE;
        is_whole.then(|| self.lock().remove(&part.root))?
    }

    /// Ends those that are none of `parts`.
    pub fn keep<'a>(&self, parts: impl Iterator<Item = &'a Part>) {
        let wanted: Vec<&ObjectId> = parts.map(|part| &part.root).collect();
        self.lock().retain(|root, _| wanted.contains(&root));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ObjectId, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
