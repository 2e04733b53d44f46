//! Reads what is not proven to be unchanged, in three steps with tar between the second and the third: a walk, the list for tar, and
//! what it has shown. Everything here blocks.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::churn::Churn;
use super::clock;
use super::clones::{self, Clones, Cloning};
use super::ground::Root;
use super::index::{Index, IndexedPart, Lists};
use super::lease::{self, Writers};
use super::list::below;
use super::look::{Ground, Look};
use super::merge::{self, Before, Left, Merged};
use super::names::{Cut, Divided, Expected, Filling, Names};
use super::paths::Paths;
use super::proof::{self, After, Listed, Times};
use super::scratch::{self, Scratch};
use super::stat::Stat;
use super::stored::{self, Contents, Holds, Kind};
use super::walk::walk;
use crate::error::Result;

/// Base, five increments, and what is read in the window.
const MOST_PARTS: u8 = 6;
/// Every part depends on the base.
const OLDEST_BASE: TimeDelta = TimeDelta::days(90);

/// When a pass began.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// By the clock of files, before the dirty pages were written out.
    pub at: i64,
    /// `None` where only who has no writer is proven: the clock was set, or the machine has just been started.
    pub margin: Option<Duration>,
}

/// How a pass goes.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    pub cut: Cut,
    /// What is left for the window.
    pub churn: &'a Churn,
    /// It is the second of a night, and worth it when more than so many bytes are new: they go into a part of their own.
    pub again: Option<u64>,
}

/// What a pass finds before tar.
pub enum Begun {
    /// There is nothing to be read before the stop.
    Nothing(Left),
    Pass(Box<Pass>),
}

/// A pass while services run, before tar.
pub struct Pass {
    look: Look,
    listed: Scratch,
    part: u8,
    times: Times,
    /// For a tar each: one for everything, or the directories and then what is in them.
    pub streams: Vec<Names>,
}

impl Pass {
    /// The dirty pages have been written out since `start`.
    pub fn begin(
        root: &Root,
        ground: Ground<'_>,
        index: Option<&Index>,
        start: Start,
        how: How<'_>,
    ) -> Result<Begun> {
        let since = Instant::now();
        let mut look = Look::at(ground, index)?;
        if index.is_some() {
            look.skip(how.churn)?;
        }
        let parts = index.map_or(0, |index| index.head.parts.len());
        let has_room = parts < usize::from(MOST_PARTS);
        let is_worth_it = how
            .again
            .is_none_or(|more| look.new_bytes > more && has_room);
        if index.is_some() && (look.is_as_stored() || !is_worth_it) {
            return Ok(Begun::Nothing(Left {
                bytes: look.new_bytes + look.skipped_bytes,
                large: look.large_bytes,
                walk: since.elapsed(),
            }));
        }
        let part = match index {
            None => 0,
            Some(_) if how.again.is_some() => u8::try_from(parts)?,
            Some(index) => first_part(index, &look, Utc::now()),
        };
        let margin = start.margin.unwrap_or(Duration::MAX).as_nanos();
        let margin = i64::try_from(margin).unwrap_or(i64::MAX);
        let times = Times {
            start: start.at,
            quiet_before: start.at.saturating_sub(margin),
            is_strict: root.is_strict,
        };
        let mut listed = scratch::fill(ground.folder)?;
        let expected = expected(&look, part);
        let mut streams = Divided::new(ground.folder, expected, how.cut)?;
        look.each_listed(part, |path, stat| {
            let is_young = stat.is_file() && stat.changed_until() >= times.quiet_before;
            let is_free = is_young && is_free(root, path, stat);
            listed.add(
                path,
                &Listed {
                    stat: *stat,
                    is_free,
                },
            )?;
            streams.add(path, stat)
        })?;
        Ok(Begun::Pass(Box::new(Self {
            look,
            listed: Scratch::of(listed)?,
            part,
            times,
            streams: streams.finish()?,
        })))
    }

    /// The number of the part that is made, from 0: it takes the place of those from there on.
    pub fn part(&self) -> u8 {
        self.part
    }

    pub fn look(&self) -> &Look {
        &self.look
    }

    /// Takes what the tar of stream `number` writes.
    pub fn contents(&self, folder: &Path, number: usize) -> Result<Contents> {
        let holds = match (self.streams.len(), number) {
            (1, _) => Holds::Everything,
            (_, 0) => Holds::Directories,
            _ => Holds::TheRest,
        };
        Ok(Contents::new(scratch::fill(folder)?, holds))
    }

    /// What tar's streams, of which `stored` are the contents, make of the index. Walks once more.
    pub fn end(
        self,
        ground: Ground<'_>,
        index: Option<&Index>,
        stored: Vec<Scratch>,
    ) -> Result<Merged> {
        let stored = stored::together(ground.folder, stored)?;
        let since = Instant::now();
        let mut after = scratch::fill(ground.folder)?;
        walk(
            ground.root,
            ground.excludes,
            ground.is_cancelled,
            |path, stat| {
                if !stat.is_directory() {
                    return Ok(());
                }
                after.add(
                    path,
                    &After {
                        device: stat.device,
                        inode: stat.inode,
                        changed: stat.changed_until(),
                    },
                )
            },
        )?;
        let took = since.elapsed();
        let after = Scratch::of(after)?;
        let verdict = proof::judge(ground.folder, self.times, &self.listed, &stored, &after)?;
        let before = Before {
            index,
            part: self.part,
        };
        let left = Left {
            bytes: verdict.unproven_bytes + self.look.skipped_bytes,
            large: verdict.unproven_large_bytes + self.look.skipped_large_bytes,
            walk: took,
        };
        merge::merge(
            ground.folder,
            &before,
            &self.look,
            &self.listed,
            &verdict,
            left,
        )
    }
}

/// What goes into the part with number `first`.
fn expected(look: &Look, first: u8) -> Expected {
    let kept: u64 = look.kept_bytes.iter().skip(usize::from(first)).sum();
    Expected {
        bytes: look.new_bytes + kept,
        // Of an increment the others are few.
        paths: if first == 0 {
            look.paths
        } else {
            look.new_paths
        },
        has_links: look.has_links,
    }
}

/// Nobody has it open for writing, and nothing changed it between the walk and this answer.
fn is_free(root: &Root, path: &[u8], seen: &Stat) -> bool {
    let before = clock::now();
    let below = below(path);
    if seen.changed_until() >= before || lease::writers(root.as_fd(), below) != Writers::None {
        return false;
    }
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let now = rustix::fs::statat(root, below, flags);
    now.is_ok_and(|now| Stat::of(&now).relative_to(root.stat.device).digest() == seen.digest())
}

/// The part that is made now takes the place of those from this one on. An increment that is not much larger than what is read anyway
/// becomes one with it, so that there are few; when all together are a quarter of the source it is read whole, as a new base.
fn first_part(index: &Index, look: &Look, now: DateTime<Utc>) -> u8 {
    let head = &index.head;
    let bytes: Vec<u64> = head.parts.iter().map(IndexedPart::bytes).collect();
    if now.signed_duration_since(head.base_at) > OLDEST_BASE {
        return 0;
    }
    let kept: u64 = look.kept_bytes.iter().sum();
    let whole = kept + look.new_bytes;
    // A header, and what fills up its last block.
    let mut new = look.new_bytes + 1024 * look.new_paths;
    let mut first = bytes.len();
    while first > 1
        && (bytes
            .get(first - 1)
            .is_some_and(|last| *last <= new.saturating_mul(3) / 2)
            || first >= usize::from(MOST_PARTS))
    {
        first -= 1;
        new += look.kept_bytes.get(first).copied().unwrap_or(0);
    }
    let increments: u64 = bytes.iter().take(first).skip(1).sum();
    if increments + new > whole / 4 {
        return 0;
    }
    u8::try_from(first).unwrap_or(0)
}

/// What is read while services are down, since the parts do not hold it.
pub struct Final {
    /// One stream; or that of the directories, then that of what is in them, if anything is, and then that of the clones.
    pub streams: Vec<FinalNames>,
    pub clones: Clones,
    pub lists: Lists,
    /// Files that somebody has open for writing although everything that may is stopped.
    pub busy: Vec<Vec<u8>>,
    /// What the next night leaves for its window, should it change until then.
    pub churn: Churn,
}

/// For a tar of its own.
pub struct FinalNames {
    pub names: Names,
    /// What each of them is.
    pub kinds: Scratch,
}

/// One that is being written.
struct FillingFinal {
    names: Filling,
    kinds: scratch::Filling,
}

impl FillingFinal {
    fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            names: Filling::new(folder)?,
            kinds: scratch::fill(folder)?,
        })
    }

    fn add(&mut self, path: &[u8], stat: &Stat) -> Result<()> {
        self.names.add(path, stat)?;
        self.kinds.add(path, &Kind(stat.type_bits()))
    }

    fn is_empty(&self) -> bool {
        self.kinds.count == 0
    }

    fn finish(self) -> Result<FinalNames> {
        Ok(FinalNames {
            names: self.names.finish()?,
            kinds: Scratch::of(self.kinds)?,
        })
    }
}

/// What a window found.
pub struct Cold {
    /// `None` where the parts hold everything.
    pub rest: Option<Final>,
    /// Of files that need not be read.
    pub kept_bytes: u64,
}

/// What is told of files that are open.
const MOST_TOLD: usize = 5;

/// Walks while services are down, and clones what is large.
pub fn cold(
    root: &Root,
    ground: Ground<'_>,
    index: &Index,
    (before, cloning): (&Churn, Cloning),
) -> Result<Cold> {
    let look = Look::at(ground, Some(index))?;
    let kept_bytes = look.kept_bytes.iter().sum();
    if look.is_as_stored() {
        return Ok(Cold {
            rest: None,
            kept_bytes,
        });
    }
    let clones = clones::take(root, &look, cloning)?;
    let mut first = FillingFinal::new(ground.folder)?;
    let rest = (!clones.is_empty()).then(|| FillingFinal::new(ground.folder));
    let mut rest = rest.transpose()?;
    let mut stripped = Paths::default();
    let mut busy = Vec::new();
    let mut churn = Churn::default();
    let mut known = index.read()?;
    look.each_listed(u8::MAX, |path, stat| {
        match &mut rest {
            Some(rest) if !stat.is_directory() => {
                if !clones.contains_key(path) {
                    rest.add(path, stat)?;
                }
            }
            _ => first.add(path, stat)?,
        }
        before.add(&mut churn, path, stat);
        if stat.is_directory() {
            let is_adorned = known.find(path)?.is_some_and(|known| known.is_adorned);
            if is_adorned {
                stripped.push(path);
            }
        }
        let may_be_told = stat.is_file() && busy.len() < MOST_TOLD;
        if may_be_told && lease::writers(root.as_fd(), below(path)) == Writers::Some {
            busy.push(path.to_vec());
        }
        Ok(())
    })?;
    let mut deleted = Paths::default();
    look.each_gone(|path| {
        deleted.push(path);
        Ok(())
    })?;
    Ok(Cold {
        rest: Some(Final {
            streams: [Some(first), rest.filter(|rest| !rest.is_empty())]
                .into_iter()
                .flatten()
                .map(FillingFinal::finish)
                .collect::<Result<_>>()?,
            clones,
            lists: Lists { deleted, stripped },
            busy,
            churn,
        }),
        kept_bytes,
    })
}
