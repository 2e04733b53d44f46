//! A source of which the repository has nearly all by the time services stop.

use std::path::PathBuf;
use std::sync::Arc;

use tracing::info;

use super::site::{self, Site};
use crate::backup::forecast::ToRead;
use crate::backup::run::Run;
use crate::base::blocking::aside;
use crate::base::text;
use crate::changed::churn::Churn;
use crate::changed::clones::{Clones, Cloning};
use crate::changed::index::{Finished, Index, IndexedPart, Lists};
use crate::changed::pass::{self, Cold, Final, FinalNames};
use crate::changed::{Kinds, Left, below};
use crate::drivers::tar::{Record, Tar};
use crate::drivers::tool::{Input, Spec};
use crate::error::Result;

pub struct Warm {
    site: Arc<Site>,
    index: Arc<Index>,
    /// The file of the index, until it counts; `None` where the one that was there still does.
    new: Option<Finished>,
    /// Of streams that were read before the stop.
    pub before_bytes: u64,
    /// What is worth knowing of how it was read.
    pub notes: Vec<String>,
    left: Left,
    /// What the window had to read, for the next night.
    churn: Option<Churn>,
    cloning: Cloning,
}

/// What the window finds.
pub struct Found {
    /// `None` where the parts have everything.
    pub rest: Option<Rest>,
    /// Of files that need not be read.
    pub kept_bytes: u64,
    /// Paths that somebody who is not stopped has open for writing.
    pub busy: Vec<PathBuf>,
}

/// What has to be read while services are down.
pub struct Rest {
    /// Of a tar each, one after the other.
    pub streams: Vec<FinalNames>,
    /// What is read when services run again.
    pub clones: Clones,
    pub lists: Lists,
}

impl Warm {
    pub fn new(
        site: Arc<Site>,
        (index, new): (Arc<Index>, Option<Finished>),
        before_bytes: u64,
        notes: Vec<String>,
        left: Left,
    ) -> Self {
        Self {
            site,
            index,
            new,
            before_bytes,
            notes,
            left,
            churn: None,
            cloning: Cloning::Never,
        }
    }

    /// Its window makes clones instead of reading, as `cloning` says.
    pub fn cloning(mut self, cloning: Cloning) -> Self {
        self.cloning = cloning;
        self
    }

    /// What the window will read, as far as that is known.
    pub fn to_read(&self) -> ToRead {
        let is_cloned = self.cloning.is_worth(self.left.large);
        let cloned = if is_cloned { self.left.large } else { 0 };
        ToRead {
            bytes: self.left.bytes.saturating_sub(cloned),
            walk: self.left.walk,
        }
    }

    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What was read before this one in the same night.
    pub fn after(mut self, earlier: Self) -> Self {
        self.before_bytes += earlier.before_bytes;
        self.notes.splice(..0, earlier.notes);
        self
    }

    /// Each part with what is done before it is extracted.
    pub fn parts(&self) -> impl Iterator<Item = (&IndexedPart, &Lists)> {
        self.index.head.parts.iter().zip(&self.index.lists)
    }

    /// What the parts do not have, while services are down.
    pub async fn look(&mut self, run: &Run<'_>) -> Result<Found> {
        let (site, index) = (Arc::clone(&self.site), Arc::clone(&self.index));
        let cloning = self.cloning;
        let walk = aside(move || {
            let before = Churn::read(&site.churn_file());
            site.on(|ground| pass::cold(&site.root, ground, &index, (&before, cloning)))
        });
        let stall = run.config.backup.stall_timeout;
        let walk = site::alive(&self.site, stall, walk);
        let Cold { rest, kept_bytes } = run.shutdown.cut("the run", walk).await?;
        let busy = rest.iter().flat_map(|rest| &rest.busy);
        let busy = busy.map(|path| self.path(path)).collect();
        let (rest, churn) = match rest {
            Some(Final {
                streams,
                clones,
                lists,
                churn,
                ..
            }) => {
                let rest = Rest {
                    streams,
                    clones,
                    lists,
                };
                (Some(rest), churn)
            }
            None => (None, Churn::default()),
        };
        self.churn = Some(churn);
        Ok(Found {
            rest,
            kept_bytes,
            busy,
        })
    }

    fn path(&self, path: &[u8]) -> PathBuf {
        self.site.right_for.path.join(below(path))
    }

    /// What reads `stream`, and what that has to hold.
    pub fn tar(&self, tar: &Tar, stream: &FinalNames) -> Result<(Spec, Kinds)> {
        let (names, is_sparse) = (&stream.names, self.site.is_sparse);
        info!(
            "reads {} of `{}` in the window, {}",
            text::count(usize::try_from(names.count).unwrap_or(usize::MAX), "path"),
            self.site.right_for.path.display(),
            text::bytes(names.bytes)
        );
        let record = Record::of(Some(names.bytes));
        let spec = tar.create_named(&self.site.place(), names.has_links, is_sparse, record);
        let spec = spec.input(Input::Pipe(names.file.try_clone()?.into()));
        Ok((spec, Kinds::of(&stream.kinds)?))
    }

    /// The point is there: from now on its index counts.
    pub async fn keep(&mut self) -> Result<()> {
        let (new, churn) = (self.new.take(), self.churn.take());
        let (index, churned) = (self.site.index_file(), self.site.churn_file());
        aside(move || {
            if let Some(new) = new {
                new.keep(&index)?;
            }
            churn.map_or(Ok(()), |churn| churn.write(&churned))
        })
        .await
    }
}
