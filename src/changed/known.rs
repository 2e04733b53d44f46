//! What the index has of a path: what the parts of the last point hold there.

use super::list::{Item, number, put_number};
use super::stat::{Digest, Stat};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The bits of a mode that say what it is.
    pub type_bits: u32,
    /// The part that it was stored in last, from 0.
    pub part: u8,
    /// It was stored with extended attributes.
    pub is_adorned: bool,
    /// Of what the kernel said of it when it was read, where that is proof.
    pub proof: Option<Digest>,
    /// 0 of what is no file.
    pub size: u64,
}

impl Known {
    /// Whether it is proven to be what was stored.
    pub fn holds(&self, now: &Stat) -> bool {
        self.proof.is_some_and(|proof| proof == now.digest())
    }
}

const ADORNED: u64 = 1;
const PROVEN: u64 = 2;

impl Item for Known {
    fn put(&self, out: &mut Vec<u8>) {
        let adorned = if self.is_adorned { ADORNED } else { 0 };
        let proven = if self.proof.is_some() { PROVEN } else { 0 };
        // The four bits of a type stand above the permissions.
        put_number(out, u64::from(self.type_bits >> 12) << 2 | adorned | proven);
        put_number(out, self.part.into());
        put_number(out, self.size);
        out.extend(self.proof.iter().flatten());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let flags = number(from)?;
        let part = number(from)?.try_into().ok()?;
        let size = number(from)?;
        let mut proof = None;
        if flags & PROVEN != 0 {
            let (digest, rest) = from.split_first_chunk()?;
            *from = rest;
            proof = Some(*digest);
        }
        Some(Self {
            type_bits: u32::try_from(flags >> 2).ok()?.checked_shl(12)?,
            part,
            is_adorned: flags & ADORNED != 0,
            proof,
            size,
        })
    }
}
