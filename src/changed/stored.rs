//! What is really in a part, by the headers of its stream: tar may have stored something else than the walk saw.

use std::path::Path;

use super::list::{Item, number, parent, put_number, put_signed, signed};
use super::scratch::{Filling, Scratch};
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

/// Takes the members of a stream in the order in which they come.
pub struct Contents {
    list: Filling,
    /// The directories on the way to the last member.
    above: Vec<Vec<u8>>,
}

impl Contents {
    pub fn new(list: Filling) -> Self {
        Self {
            list,
            above: Vec::new(),
        }
    }

    pub fn add(&mut self, member: Member) -> Result<()> {
        let name = member.name.clone();
        let stored = Stored::from(member);
        while self
            .above
            .last()
            .is_some_and(|last| parent(&name) != Some(last))
        {
            self.above.pop();
        }
        if self.above.is_empty() && name != b"." {
            let why = format!("{} is in no directory", shown(&name));
            return Err(Torn(why).into());
        }
        self.list.add(&name, &stored)?;
        if stored.type_bits == 0o040_000 {
            self.above.push(name);
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Scratch> {
        Scratch::of(self.list)
    }
}
