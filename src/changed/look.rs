//! A walk beside the index: what is as it was stored, what is not, and what is gone.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::churn::Churn;
use super::clones::large_bytes;
use super::index::Index;
use super::known::Known;
use super::list::{Item, is_below, number, order, put_number};
use super::scratch::{self, Filling, Scratch};
use super::stat::Stat;
use super::walk::walk;
use crate::error::Result;
use crate::model::exclude::Excludes;

/// What a walk saw of a path.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub stat: Stat,
    /// The part that holds it, where it is proven to be as it was stored.
    pub kept_in: Option<u8>,
}

impl Item for Seen {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.kept_in.map_or(0, |part| u64::from(part) + 1));
        self.stat.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let kept_in = match number(from)? {
            0 => None,
            part => Some(u8::try_from(part - 1).ok()?),
        };
        let stat = Stat::take(from)?;
        Some(Self { stat, kept_in })
    }
}

/// What a walk found.
pub struct Look {
    seen: Scratch,
    /// What the parts hold and what is no longer there, or is something else now: the topmost paths.
    gone: Scratch,
    /// Files of which not every name is as it was stored: all their names are read.
    linked: HashSet<u64>,
    /// Bytes of files that are as they were stored, without their holes, by the part that has them.
    pub kept_bytes: Vec<u64>,
    /// Of all others.
    pub new_bytes: u64,
    /// Paths that are not as they were stored.
    pub new_paths: u64,
    /// Files that are not, but for the time at which they were changed.
    pub only_touched: u64,
    pub paths: u64,
    /// Of some file there are several names.
    pub has_links: bool,
    /// What is left for the window although it is new, and not counted above.
    skipped: HashSet<Vec<u8>>,
    pub skipped_bytes: u64,
    /// Of both, in files of which [`clones`](super::clones) are made, and of what is skipped.
    pub large_bytes: u64,
    pub skipped_large_bytes: u64,
}

/// What a pass is on.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    pub root: BorrowedFd<'a>,
    pub excludes: &'a Excludes,
    /// For lists without a name.
    pub folder: &'a Path,
    pub is_cancelled: &'a dyn Fn() -> bool,
}

impl Look {
    /// Blocks.
    pub fn at(ground: Ground<'_>, index: Option<&Index>) -> Result<Self> {
        let mut seen = scratch::fill(ground.folder)?;
        let mut gone = Gone {
            list: scratch::fill(ground.folder)?,
            last: None,
        };
        let mut look = Totals::default();
        let mut known = index.map(Index::read).transpose()?;
        walk(
            ground.root,
            ground.excludes,
            ground.is_cancelled,
            |path, stat| {
                let before = match &mut known {
                    Some(known) => known.take(path, |path, _| gone.add(path))?,
                    None => None,
                };
                if before.is_some_and(|before| before.type_bits != stat.type_bits()) {
                    gone.add(path)?;
                }
                let kept_in = before.filter(|before| before.holds(stat)).map(|it| it.part);
                look.count(stat, before.as_ref(), kept_in);
                let stat = *stat;
                seen.add(path, &Seen { stat, kept_in })
            },
        )?;
        if let Some(known) = &mut known {
            known.rest(|path, _| gone.add(path))?;
        }
        Ok(Self {
            seen: Scratch::of(seen)?,
            gone: Scratch::of(gone.list)?,
            linked: look.linked,
            kept_bytes: look.kept_bytes,
            new_bytes: look.new_bytes,
            new_paths: look.new_paths,
            only_touched: look.only_touched,
            paths: look.paths,
            has_links: look.has_links,
            skipped: HashSet::new(),
            skipped_bytes: 0,
            large_bytes: look.large_bytes,
            skipped_large_bytes: 0,
        })
    }

    /// Leaves out what `churn` says.
    pub fn skip(&mut self, churn: &Churn) -> Result<()> {
        if churn.is_empty() {
            return Ok(());
        }
        let (mut skipped, mut bytes, mut large) = (HashSet::new(), 0, 0);
        self.seen.read::<Seen>()?.rest(|path, found| {
            if found.kept_in.is_none() && churn.leaves(path, &found.stat) {
                skipped.insert(path.to_vec());
                bytes += found.stat.content;
                large += large_bytes(&found.stat);
            }
            Ok(())
        })?;
        self.new_paths = self.new_paths.saturating_sub(skipped.len() as u64);
        self.new_bytes = self.new_bytes.saturating_sub(bytes);
        self.skipped = skipped;
        self.skipped_bytes = bytes;
        self.skipped_large_bytes = large;
        Ok(())
    }

    /// Whether the parts hold exactly what is there.
    pub fn is_as_stored(&self) -> bool {
        self.new_paths == 0 && self.gone.count == 0
    }

    /// Calls `each` with what has to be read so that, with the parts before `first`, all is there: in the order of the walk, every
    /// directory on the way to what is read or gone included. Nothing where nothing has to be.
    pub fn each_listed(
        &self,
        first: u8,
        mut each: impl FnMut(&[u8], &Stat) -> Result<()>,
    ) -> Result<()> {
        let linked = self.linked_from(first)?;
        let is_new = |seen: &Seen| {
            seen.kept_in.is_none_or(|part| part >= first)
                || (seen.stat.is_linked() && linked.contains(&seen.stat.inode))
        };
        let mut above = Above::default();
        let mut seen = self.seen.read::<Seen>()?;
        let mut gone = self.gone.read::<()>()?;
        loop {
            let is_gone_first = match (seen.at(), gone.at()) {
                (None, None) => return Ok(()),
                (Some((seen, _)), Some((gone, ()))) => order(gone, seen).is_le(),
                (seen, _) => seen.is_none(),
            };
            if is_gone_first {
                if let Some((path, ())) = gone.at() {
                    above.leave_for(path);
                    above.tell(&mut each)?;
                }
                gone.advance()?;
                continue;
            }
            if let Some((path, found)) = seen.at() {
                above.leave_for(path);
                if found.stat.is_directory() {
                    above.enter(path, found.stat);
                    if is_new(found) {
                        above.tell(&mut each)?;
                    }
                } else if is_new(found) && !self.skipped.contains(path) {
                    above.tell(&mut each)?;
                    each(path, &found.stat)?;
                }
            }
            seen.advance()?;
        }
    }

    /// The files that part number `part` holds as they are now.
    pub fn files_in(&self, part: u8, folder: &Path) -> Result<Scratch> {
        let mut files = scratch::fill(folder)?;
        self.seen.read::<Seen>()?.rest(|path, found| {
            if found.kept_in == Some(part) && found.stat.is_file() {
                files.add(path, &found.stat)?;
            }
            Ok(())
        })?;
        Scratch::of(files)
    }

    /// Calls `each` with what goes before that is extracted: the topmost paths.
    pub fn each_gone(&self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.gone.read::<()>()?.rest(|path, ()| each(path))
    }

    /// Files of which some name has to be read, so that all have to be.
    fn linked_from(&self, first: u8) -> Result<HashSet<u64>> {
        let mut linked = self.linked.clone();
        if self.kept_bytes.len() > usize::from(first) {
            self.seen.read::<Seen>()?.rest(|_, found| {
                if found.stat.is_linked() && found.kept_in.is_some_and(|part| part >= first) {
                    linked.insert(found.stat.inode);
                }
                Ok(())
            })?;
        }
        Ok(linked)
    }
}

#[derive(Default)]
struct Totals {
    linked: HashSet<u64>,
    kept_bytes: Vec<u64>,
    new_bytes: u64,
    new_paths: u64,
    large_bytes: u64,
    only_touched: u64,
    paths: u64,
    has_links: bool,
}

impl Totals {
    fn count(&mut self, stat: &Stat, before: Option<&Known>, kept_in: Option<u8>) {
        self.paths += 1;
        self.has_links |= stat.is_linked();
        let bytes = stat.content;
        if let Some(part) = kept_in {
            let part = usize::from(part);
            if self.kept_bytes.len() <= part {
                self.kept_bytes.resize(part + 1, 0);
            }
            self.kept_bytes
                .iter_mut()
                .skip(part)
                .take(1)
                .for_each(|sum| *sum += bytes);
            return;
        }
        self.new_paths += 1;
        self.new_bytes += bytes;
        self.large_bytes += large_bytes(stat);
        if stat.is_linked() {
            self.linked.insert(stat.inode);
        }
        let is_same_size = |before: &Known| before.proof.is_some() && before.size == stat.size;
        self.only_touched += u64::from(stat.is_file() && before.is_some_and(is_same_size));
    }
}

struct Gone {
    list: Filling,
    last: Option<Vec<u8>>,
}

impl Gone {
    fn add(&mut self, path: &[u8]) -> Result<()> {
        let is_covered = |last: &Vec<u8>| last == path || is_below(path, last);
        if self.last.as_ref().is_some_and(is_covered) {
            return Ok(());
        }
        self.list.add(path, &())?;
        self.last = Some(path.to_vec());
        Ok(())
    }
}

/// The directories that lead to where a list is gone through, and which of them were told.
#[derive(Default)]
struct Above(Vec<(Vec<u8>, Stat, bool)>);

impl Above {
    fn leave_for(&mut self, path: &[u8]) {
        while self
            .0
            .last()
            .is_some_and(|(above, ..)| !is_below(path, above))
        {
            self.0.pop();
        }
    }

    fn enter(&mut self, path: &[u8], stat: Stat) {
        self.0.push((path.to_vec(), stat, false));
    }

    /// Those that were not yet.
    fn tell(&mut self, each: &mut impl FnMut(&[u8], &Stat) -> Result<()>) -> Result<()> {
        for (path, stat, is_told) in &mut self.0 {
            if !*is_told {
                *is_told = true;
                each(path, stat)?;
            }
        }
        Ok(())
    }
}
