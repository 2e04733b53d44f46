//! The index after a part was added: what all parts hold together, and what goes before the new one is extracted.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::index::{Index, Lists, NewIndex};
use super::known::Known;
use super::list::{is_below, order};
use super::look::Look;
use super::paths::Paths;
use super::proof::{Judged, Listed, Verdict};
use super::scratch::{Going, Scratch};
use crate::error::Result;

/// What a new part is added to.
pub struct Before<'a> {
    /// `None` for the first one.
    pub index: Option<&'a Index>,
    /// The number of the new part: those from there on become one with it.
    pub part: u8,
}

/// All that the new part makes of the index, but its head.
pub struct Merged {
    pub index: NewIndex,
    pub lists: Lists,
    /// What is left to be read while services are down, and how long the walk for it takes, as far as that is known.
    pub left: Left,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    pub bytes: u64,
    /// Of these, in files that [`clones`](super::clones) are made of.
    pub large: u64,
    pub walk: Duration,
}

pub fn merge(
    folder: &Path,
    before: &Before<'_>,
    look: &Look,
    listed: &Scratch,
    verdict: &Verdict,
    left: Left,
) -> Result<Merged> {
    let replaced: Vec<&Lists> = before
        .index
        .iter()
        .flat_map(|index| index.lists.iter().skip(usize::from(before.part)))
        .collect();
    let stripped: BTreeSet<&[u8]> = replaced
        .iter()
        .flat_map(|lists| lists.stripped.iter())
        .collect();
    let mut gone: Vec<Vec<u8>> = Vec::new();
    look.each_gone(|path| {
        gone.push(path.to_vec());
        Ok(())
    })?;
    let mut merging = Merging {
        index: NewIndex::in_folder(folder)?,
        part: before.part,
        gone: gone.iter().map(Vec::as_slice).peekable(),
        dropped: None,
        other_kind: Vec::new(),
        stripped: Paths::default(),
        strips_before: &stripped,
        verdict,
        is_first: before.index.is_none(),
    };
    let mut known = before.index.map(Index::read).transpose()?;
    let mut held = verdict.judged.read::<Judged>()?;
    let mut listed = listed.read::<Listed>()?;
    held.rest(|path, judged| {
        let before = match &mut known {
            Some(known) => known.take(path, |at, item| merging.keep(at, item, &mut listed))?,
            None => None,
        };
        merging.take(path, judged, before)
    })?;
    if let Some(known) = &mut known {
        known.rest(|at, item| merging.keep(at, item, &mut listed))?;
    }
    let Merging {
        index,
        other_kind,
        stripped,
        ..
    } = merging;
    let deleted = replaced
        .iter()
        .flat_map(|lists| lists.deleted.iter())
        .chain(gone.iter().map(Vec::as_slice))
        .chain(other_kind.iter().map(Vec::as_slice));
    let deleted = if before.part == 0 {
        Paths::default()
    } else {
        Paths::topmost(deleted)
    };
    Ok(Merged {
        index,
        lists: Lists { deleted, stripped },
        left,
    })
}

struct Merging<'a, G: Iterator<Item = &'a [u8]>> {
    index: NewIndex,
    part: u8,
    gone: std::iter::Peekable<G>,
    /// Everything below this is deleted before the part is extracted.
    dropped: Option<Vec<u8>>,
    other_kind: Vec<Vec<u8>>,
    stripped: Paths,
    strips_before: &'a BTreeSet<&'a [u8]>,
    verdict: &'a Verdict,
    is_first: bool,
}

impl<'a, G: Iterator<Item = &'a [u8]>> Merging<'a, G> {
    /// What the parts before hold and the new one does not.
    fn keep(&mut self, path: &[u8], known: &Known, listed: &mut Going<Listed>) -> Result<()> {
        // With a new base nothing of the parts before is left.
        if self.part == 0 || self.is_dropped(path) {
            return Ok(());
        }
        let mut known = *known;
        // It was to be read, and was gone by then; a part before may have it all the same.
        if listed.find(path)?.is_some() || known.part >= self.part {
            known.proof = None;
            known.part = known.part.min(self.part);
        }
        self.index.add(path, &known)
    }

    /// What the new part holds.
    fn take(&mut self, path: &[u8], judged: &Judged, before: Option<Known>) -> Result<()> {
        let is_gone = self.is_dropped(path);
        if !is_gone
            && !self.is_first
            && before.is_some_and(|before| before.type_bits != judged.type_bits)
        {
            self.other_kind.push(path.to_vec());
            self.dropped = Some(path.to_vec());
        }
        let is_directory = judged.type_bits == 0o040_000;
        let was_adorned = before.is_some_and(|before| before.is_adorned);
        if self.part > 0 && is_directory && (was_adorned || self.strips_before.contains(path)) {
            self.stripped.push(path);
        }
        let is_unproven = |inode: &u64| self.verdict.unproven.contains(inode);
        let proof = judged
            .proof
            .filter(|_| !judged.inode.as_ref().is_some_and(is_unproven));
        self.index.add(
            path,
            &Known {
                type_bits: judged.type_bits,
                part: self.part,
                is_adorned: is_directory && judged.is_adorned,
                proof,
                size: judged.size,
            },
        )
    }

    fn is_dropped(&mut self, path: &[u8]) -> bool {
        while let Some(gone) = self.gone.next_if(|gone| order(gone, path).is_le()) {
            if !self.is_in_dropped(gone) {
                self.dropped = Some(gone.to_vec());
            }
        }
        self.is_in_dropped(path)
    }

    fn is_in_dropped(&self, path: &[u8]) -> bool {
        self.dropped
            .as_ref()
            .is_some_and(|dropped| dropped == path || is_below(path, dropped))
    }
}
