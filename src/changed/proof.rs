//! What of a part that was read while services ran is proven to be as the walk saw it, so that it need not be read again as long as
//! the kernel says the same of it.
//!
//! A file is proven when all of this holds:
//! - nothing changed it since a moment before all dirty pages were written out, and no call that writes to it began so shortly before
//!   that it could still be at work, or nobody has it open for writing;
//! - no directory on the way to it was exchanged between the walk and the reading: each is the same after it as before, and no two of
//!   them, one in the other, changed meanwhile. XFS does not tell an exchange of two files, so there none may have changed;
//! - what tar stored is what the walk saw;
//! - of a file with several names, all of this for all of them, and they are stored as names of one.

use std::collections::{HashMap, HashSet};

use super::clones::large_bytes;
use super::list::{Item, is_below, number, put_number, put_signed, signed};
use super::scratch::{self, Going, Scratch};
use super::stat::{Digest, Stat};
use super::stored::Stored;
use crate::error::Result;

/// What was asked to be read, as the walk saw it.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    pub stat: Stat,
    /// Nobody had it open for writing, after the last change to it.
    pub is_free: bool,
}

impl Item for Listed {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.is_free.into());
        self.stat.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let is_free = number(from)? == 1;
        let stat = Stat::take(from)?;
        Some(Self { stat, is_free })
    }
}

/// A directory as it is after the reading.
#[derive(Clone, Copy, Debug)]
pub struct After {
    pub device: u64,
    pub inode: u64,
    pub changed: i64,
}

impl Item for After {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.device);
        put_number(out, self.inode);
        put_signed(out, self.changed);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self {
            device: number(from)?,
            inode: number(from)?,
            changed: signed(from)?,
        })
    }
}

/// What a part holds of a path, and what it is worth.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub type_bits: u32,
    pub is_adorned: bool,
    pub size: u64,
    /// Of a file with several names.
    pub inode: Option<u64>,
    pub proof: Option<Digest>,
}

impl Item for Judged {
    fn put(&self, out: &mut Vec<u8>) {
        let flags = u64::from(self.is_adorned)
            | u64::from(self.inode.is_some()) << 1
            | u64::from(self.proof.is_some()) << 2;
        put_number(out, u64::from(self.type_bits) << 3 | flags);
        put_number(out, self.size);
        put_number(out, self.inode.unwrap_or(0));
        out.extend(self.proof.iter().flatten());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let flags = number(from)?;
        let (size, inode) = (number(from)?, number(from)?);
        let mut proof = None;
        if flags & 4 != 0 {
            let (digest, rest) = from.split_first_chunk()?;
            *from = rest;
            proof = Some(*digest);
        }
        Some(Self {
            type_bits: u32::try_from(flags >> 3).ok()?,
            is_adorned: flags & 1 != 0,
            size,
            inode: (flags & 2 != 0).then_some(inode),
            proof,
        })
    }
}

/// When a part was read, and what that means.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Before the dirty pages were written out.
    pub start: i64,
    /// A file that was changed after this is proven only when nobody has it open.
    pub quiet_before: i64,
    /// The file system does not tell that two files were exchanged.
    pub is_strict: bool,
}

/// Everything that a part holds, judged, and the files with several names of which nothing is proven.
pub struct Verdict {
    pub judged: Scratch,
    pub unproven: HashSet<u64>,
    /// Of files that are not proven for themselves: what the next look will at least want to read again.
    pub unproven_bytes: u64,
    /// Of these, in large files.
    pub unproven_large_bytes: u64,
}

/// `listed` is what was asked for, `stored` what came, `after` every directory as it was then.
pub fn judge(
    folder: &std::path::Path,
    times: Times,
    listed: &Scratch,
    stored: &Scratch,
    after: &Scratch,
) -> Result<Verdict> {
    let mut judged = scratch::fill(folder)?;
    let mut stored = stored.read::<Stored>()?;
    let mut after = after.read::<After>()?;
    let mut listed = listed.read::<Listed>()?;
    let mut above = Above::default();
    let mut groups: HashMap<u64, Group> = HashMap::new();
    let (mut unproven_bytes, mut unproven_large_bytes) = (0, 0);
    while let Some((path, seen)) = listed.at() {
        let is_bound = above.is_bound(path);
        let held = stored.find(path)?.cloned();
        let is_sound = is_bound
            && is_settled(seen, times)
            && held.as_ref().is_some_and(|held| held.agrees(&seen.stat));
        if !is_sound {
            unproven_bytes += seen.stat.content;
            unproven_large_bytes += large_bytes(&seen.stat);
        }
        let mut of_content = None;
        if seen.stat.is_linked() {
            let group = groups.entry(seen.stat.inode).or_default();
            group.add(path, held.as_ref(), is_sound);
            of_content = group.type_bits(held.as_ref());
        }
        if seen.stat.is_directory() {
            above.enter(path, &seen.stat, &mut after, times)?;
        }
        if let Some(held) = held {
            let inode = seen.stat.is_linked().then_some(seen.stat.inode);
            let proof = is_sound.then(|| seen.stat.digest());
            let size = if seen.stat.is_file() {
                seen.stat.size
            } else {
                0
            };
            judged.add(
                path,
                &Judged {
                    type_bits: of_content.unwrap_or(held.type_bits),
                    is_adorned: held.is_adorned,
                    size,
                    inode,
                    proof,
                },
            )?;
        }
        listed.advance()?;
    }
    let unproven = groups.into_iter().filter(|(_, group)| !group.is_good);
    Ok(Verdict {
        judged: Scratch::of(judged)?,
        unproven: unproven.map(|(inode, _)| inode).collect(),
        unproven_bytes,
        unproven_large_bytes,
    })
}

/// The largest time that every file system has; a clock that it cannot follow stands still.
const LATEST: i64 = 0x7fff_ffff * 1_000_000_000;

fn is_settled(seen: &Listed, times: Times) -> bool {
    let changed = seen.stat.changed_until();
    let limit = if seen.stat.is_file() {
        times.quiet_before
    } else {
        times.start
    };
    changed < LATEST && (changed < limit || seen.is_free)
}

/// The names of one file.
#[derive(Debug)]
struct Group {
    /// The member that has the content, and what it is.
    content: Option<(Vec<u8>, u32)>,
    is_good: bool,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            content: None,
            is_good: true,
        }
    }
}

impl Group {
    fn add(&mut self, path: &[u8], held: Option<&Stored>, is_sound: bool) {
        let is_of_it = match held.map(|held| (&held.link, held.type_bits)) {
            None => false,
            Some((None, type_bits)) => {
                let before = self.content.replace((path.to_vec(), type_bits));
                before.is_none()
            }
            Some((Some(to), _)) => self.content.as_ref().is_some_and(|(name, _)| name == to),
        };
        self.is_good &= is_of_it && is_sound;
    }

    /// What another name of the content is: its own header does not tell.
    fn type_bits(&self, held: Option<&Stored>) -> Option<u32> {
        let to = held?.link.as_ref()?;
        let (name, type_bits) = self.content.as_ref()?;
        (name == to).then_some(*type_bits)
    }
}

/// The directories that lead to where the list is.
#[derive(Default)]
struct Above(Vec<Way>);

struct Way {
    path: Vec<u8>,
    /// Nothing on the way to what is in it was exchanged.
    is_bound: bool,
    /// It changed since the start.
    is_restless: bool,
}

impl Above {
    fn is_bound(&mut self, path: &[u8]) -> bool {
        while self.0.last().is_some_and(|way| !is_below(path, &way.path)) {
            self.0.pop();
        }
        self.0.last().is_none_or(|way| way.is_bound)
    }

    fn enter(
        &mut self,
        path: &[u8],
        before: &Stat,
        after: &mut Going<After>,
        times: Times,
    ) -> Result<()> {
        let now = after.find(path)?;
        let is_same =
            now.is_some_and(|now| (now.device, now.inode) == (before.device, before.inode));
        let is_restless = now.is_none_or(|now| now.changed >= times.start);
        let (is_above_bound, is_above_restless) = self
            .0
            .last()
            .map_or((true, false), |way| (way.is_bound, way.is_restless));
        let is_exchanged = is_restless && (is_above_restless || times.is_strict);
        self.0.push(Way {
            path: path.to_vec(),
            is_bound: is_above_bound && is_same && !is_exchanged,
            is_restless,
        });
        Ok(())
    }
}
