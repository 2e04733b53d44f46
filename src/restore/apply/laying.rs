//! The parts of a source, extracted one over the other into its staging directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::OwnedSemaphorePermit;

use super::clearing::Cleared;
use super::extract::{Extractor, refuse_words, untar};
use crate::base::activity::Activity;
use crate::base::blocking::aside;
use crate::drivers::losses::{self, Losses, Tolerance};
use crate::drivers::tool::Ended;
use crate::error::Result;
use crate::model::point::Part;
use crate::points::feed;
use crate::points::gate::Gate;
use crate::points::rounds::{Round, rounds};
use crate::points::wanted::Wanted;
use crate::restore::plan::pieces;

/// One source on its way.
pub struct Laying<'a> {
    pub extractor: &'a Extractor,
    /// Filled.
    pub folder: &'a Path,
    /// Where what tar says is kept.
    pub aside: &'a Path,
    /// Taken out of it; empty for all of it.
    pub paths: &'a [PathBuf],
    pub wanted: Option<Arc<Mutex<Wanted>>>,
    pub moved: &'a Activity,
    pub tolerance: Tolerance,
}

/// Extended attributes, ACLs among them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attributes {
    All,
    None,
}

/// How `paths` are taken out of several `parts`; `None` when there is nothing to choose, or tar itself can.
pub fn wanted(parts: &[Part], paths: &[PathBuf]) -> Option<Arc<Mutex<Wanted>>> {
    let is_choice = parts.len() > 1 && !paths.is_empty();
    is_choice.then(|| Arc::new(Mutex::new(Wanted::new(paths))))
}

impl Laying<'_> {
    pub async fn lay(&self, parts: &[Part], losses: &mut Losses) -> Result<()> {
        for round in rounds(parts)? {
            match round {
                Round::One { part, is_first } => {
                    self.clear(part).await?;
                    let gate = if is_first {
                        Gate::first(self.wanted.as_ref())
                    } else {
                        Some(Gate::later(self.wanted.as_ref()))
                    };
                    losses.extend(self.extract(part, gate.as_ref(), Attributes::All).await?);
                }
                Round::Group {
                    folders, shards, ..
                } => {
                    self.clear(folders).await?;
                    let gate = Gate::folders(self.wanted.as_ref());
                    // What is made in a directory with a default ACL gets one.
                    let bare = self.extract(folders, Some(&gate), Attributes::None).await;
                    losses.extend(bare?);
                    self.side_by_side(shards, &gate, losses).await?;
                    // What was put into them has changed their times.
                    let gate = Gate::folders(self.wanted.as_ref());
                    let whole = self.extract(folders, Some(&gate), Attributes::All).await;
                    losses.extend(whole?);
                }
            }
        }
        self.check_wanted().await
    }

    /// What goes before `part` comes.
    async fn clear(&self, part: &Part) -> Result<()> {
        let lists = part.lists()?;
        if let Some(wanted) = &self.wanted {
            let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            lists.deleted.iter().for_each(|path| wanted.forget(path));
        }
        let folder = self.folder.to_owned();
        aside(move || Cleared::open(&folder)?.clear(&lists)).await
    }

    /// As many at once as there are free slots; the source has one of its own.
    async fn side_by_side(
        &self,
        shards: &[Part],
        folders: &Gate,
        losses: &mut Losses,
    ) -> Result<()> {
        let mut waiting = shards.iter();
        let mut running = FuturesUnordered::new();
        let mut failed = None;
        loop {
            while failed.is_none()
                && let Some(slot) = self.slot(running.is_empty())
                && let Some(shard) = waiting.next()
            {
                running.push(async move {
                    let _slot = slot;
                    let gate = folders.shard(self.wanted.as_ref());
                    self.extract(shard, Some(&gate), Attributes::All).await
                });
            }
            match running.next().await {
                None => break,
                Some(Ok(lost)) => losses.extend(lost),
                Some(Err(error)) => {
                    // None may write there any more when it is removed.
                    self.extractor.cancel.send_replace(true);
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// `Some(None)` is that of the source.
    fn slot(&self, is_free: bool) -> Option<Option<OwnedSemaphorePermit>> {
        if is_free {
            return Some(None);
        }
        let slots = Arc::clone(&self.extractor.slots);
        slots.try_acquire_owned().ok().map(Some)
    }

    async fn extract(
        &self,
        part: &Part,
        gate: Option<&Gate>,
        attributes: Attributes,
    ) -> Result<Losses> {
        let (feed, tolerance) = (&self.extractor.feed, self.tolerance);
        if !part.kind.is_tar() {
            return feed
                .bring(part, self.folder, self.paths, self.moved, tolerance)
                .await;
        }
        let mut untar = untar(&self.extractor.tar, self.folder);
        if attributes == Attributes::None {
            untar = untar.arg("--no-xattrs");
        }
        // A gate has chosen already.
        let names_members = self.wanted.is_none() && !self.paths.is_empty();
        if names_members {
            untar = untar.args(pieces::members(self.paths));
        }
        let explain = |error| match names_members {
            true => pieces::explain(error),
            false => error,
        };
        if tolerance == Tolerance::NONE {
            let tar = feed.run(part, gate, untar, self.moved).await;
            refuse_words(&tar.map_err(explain)?)?;
            return Ok(Losses::default());
        }
        let mut said = tempfile::tempfile_in(self.aside)
            .with_context(|| format!("cannot write to `{}`", self.aside.display()))?;
        let untar = untar.errors(said.try_clone()?.into());
        let tar = feed.run_to_the_end(part, gate, untar, self.moved).await?;
        match Losses::read(&mut said, tolerance)? {
            // Without a word a bad end is no loss that was listed.
            Some(losses) if tar.status.success() || losses.count > 0 => Ok(losses),
            _ => {
                let stderr = losses::tail(&mut said);
                Err(explain(feed::said(&Ended { stderr, ..tar })))
            }
        }
    }

    /// Whether every path came out of some part, and stayed.
    async fn check_wanted(&self) -> Result<()> {
        let Some(wanted) = &self.wanted else {
            return Ok(());
        };
        wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .check()?;
        let (folder, paths) = (self.folder.to_owned(), self.paths.to_vec());
        aside(move || {
            let mut cleared = Cleared::open(&folder)?;
            match paths.iter().find(|path| !cleared.has(path)) {
                Some(path) => Err(pieces::not_there(path)),
                None => Ok(()),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests;
