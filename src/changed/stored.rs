//! What is really in a part, by the headers of its stream: tar may have stored something else than the walk saw.

use std::path::Path;

use super::list::{Item, number, order, parent, put_number, put_signed, signed};
use super::scratch::{self, Filling, Going, Scratch};
use super::stat::Stat;
use super::walk::shown;
use crate::drivers::tar::{Member, MemberKind};
use crate::error::Result;

/// What a part has of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub type_bits: u32,
    /// The member that has the content of which this is another name.
    pub link: Option<Vec<u8>>,
    pub is_adorned: bool,
    size: u64,
    modified: i64,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Stored {
    /// Whether it is what the walk saw.
    pub fn agrees(&self, seen: &Stat) -> bool {
        let is_link = seen.kind() == rustix::fs::FileType::Symlink;
        // Of another name all of it stands with the content.
        self.link.is_some()
            || (self.type_bits == seen.type_bits()
                && (!seen.is_file() || self.size == seen.size)
                && self.modified == seen.modified
                && (self.uid, self.gid) == (seen.uid, seen.gid)
                && (is_link || self.mode == seen.mode & 0o7777))
    }
}

impl From<Member> for Stored {
    fn from(member: Member) -> Self {
        // What does not fit agrees with nothing.
        let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
        let type_bits = member.kind.type_bits();
        let link = match member.kind {
            MemberKind::HardLink(to) => Some(to),
            _ => None,
        };
        Self {
            type_bits,
            link,
            is_adorned: member.has_attributes,
            size: member.size,
            modified: i64::try_from(member.modified).unwrap_or(i64::MIN),
            mode: member.mode,
            uid: id(member.uid),
            gid: id(member.gid),
        }
    }
}

impl Item for Stored {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(
            out,
            u64::from(self.type_bits) << 1 | u64::from(self.is_adorned),
        );
        let link = self.link.as_deref();
        put_number(out, link.map_or(0, |link| link.len() as u64 + 1));
        out.extend_from_slice(link.unwrap_or_default());
        put_number(out, self.size);
        put_signed(out, self.modified);
        [self.mode, self.uid, self.gid]
            .into_iter()
            .for_each(|it| put_number(out, it.into()));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let kind = number(from)?;
        let link = match number(from)? {
            0 => None,
            length => {
                let (link, rest) = from.split_at_checked(usize::try_from(length - 1).ok()?)?;
                *from = rest;
                Some(link.to_vec())
            }
        };
        Some(Self {
            type_bits: u32::try_from(kind >> 1).ok()?,
            link,
            is_adorned: kind & 1 == 1,
            size: number(from)?,
            modified: signed(from)?,
            mode: number(from)?.try_into().ok()?,
            uid: number(from)?.try_into().ok()?,
            gid: number(from)?.try_into().ok()?,
        })
    }
}

/// Names moved while tar read them: what it stored cannot be extracted over what is there.
#[derive(Debug, thiserror::Error)]
#[error("names changed while they were read: {0}")]
pub struct Torn(String);

impl Torn {
    pub fn mounted(place: &Path) -> Self {
        Self(format!(
            "something was mounted at `{}`, or is no longer",
            place.display()
        ))
    }
}

/// What a stream may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Directories, each before what is in it.
    Everything,
    Directories,
    /// What is in the directories of another stream.
    TheRest,
}

/// Takes the members of a stream in the order in which they come.
pub struct Contents {
    list: Filling,
    holds: Holds,
    /// The directories on the way to the last member.
    above: Vec<Vec<u8>>,
}

impl Contents {
    pub fn new(list: Filling, holds: Holds) -> Self {
        Self {
            list,
            holds,
            above: Vec::new(),
        }
    }

    pub fn add(&mut self, member: Member) -> Result<()> {
        let name = member.name.clone();
        self.put(&name, &Stored::from(member))
    }

    fn put(&mut self, name: &[u8], stored: &Stored) -> Result<()> {
        let is_directory = stored.type_bits == DIRECTORY;
        let is_other = match self.holds {
            Holds::Everything => false,
            Holds::Directories => !is_directory,
            Holds::TheRest => is_directory,
        };
        if is_other {
            return Err(torn(name, "became something else"));
        }
        if self.holds != Holds::TheRest {
            self.descend(name, is_directory)?;
        }
        self.list.add(name, stored)
    }

    fn descend(&mut self, name: &[u8], is_directory: bool) -> Result<()> {
        while self
            .above
            .last()
            .is_some_and(|last| parent(name) != Some(last))
        {
            self.above.pop();
        }
        if self.above.is_empty() && name != b"." {
            return Err(torn(name, "is in no directory"));
        }
        if is_directory {
            self.above.push(name.to_vec());
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Scratch> {
        Scratch::of(self.list)
    }
}

/// What a walk saw at each path that tar was given: a stream that nobody looks at again is held to that.
pub struct Kinds(Going<Kind>);

/// The bits of a mode that say what a path is.
pub struct Kind(pub u32);

impl Item for Kind {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.0.into());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        number(from)?.try_into().ok().map(Self)
    }
}

impl Kinds {
    pub fn of(list: &Scratch) -> Result<Self> {
        list.read().map(Self)
    }

    /// [`Torn`] when `member`, the next of the stream, is something else.
    pub fn check(&mut self, member: &Member) -> Result<()> {
        let seen = self.0.find(&member.name)?.map(|kind| kind.0);
        let is_same = match (seen, &member.kind) {
            (None, _) => false,
            // Another name of any kind of file.
            (Some(seen), MemberKind::HardLink(_)) => seen != DIRECTORY,
            (Some(seen), kind) => seen == kind.type_bits(),
        };
        match is_same {
            true => Ok(()),
            false => Err(torn(&member.name, "became something else")),
        }
    }
}

const DIRECTORY: u32 = 0o040_000;

fn torn(name: &[u8], what: &str) -> anyhow::Error {
    Torn(format!("{} {what}", shown(name))).into()
}

/// What streams that were read side by side hold together.
pub fn together(folder: &Path, mut streams: Vec<Scratch>) -> Result<Scratch> {
    if streams.len() == 1
        && let Some(one) = streams.pop()
    {
        return Ok(one);
    }
    let mut streams = streams
        .iter()
        .map(Scratch::read::<Stored>)
        .collect::<Result<Vec<_>>>()?;
    let mut all = Contents::new(scratch::fill(folder)?, Holds::Everything);
    let first = |streams: &[Going<Stored>]| {
        let at = streams.iter().enumerate();
        at.filter_map(|(number, stream)| Some((stream.at()?.0, number)))
            .min_by(|(one, _), (other, _)| order(one, other))
            .map(|(_, number)| number)
    };
    while let Some(stream) = first(&streams).and_then(|number| streams.get_mut(number)) {
        if let Some((path, stored)) = stream.at() {
            all.put(path, stored)?;
        }
        stream.advance()?;
    }
    all.finish()
}
