//! Large files that every window has to read: they are written to all the time. Reading them before the stop as well would be for
//! nothing.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::list::{Item, Reader, Writer, number, put_number};
use super::stat::{Digest, Stat};
use crate::base::files;
use crate::error::Result;

/// Others cost little.
const LARGE: u64 = 256 * 1024;
/// No service writes to more.
const MOST: usize = 10_000;
/// In so many windows in a row.
const OFTEN: u64 = 2;

/// What the last windows had to read.
#[derive(Debug, Default)]
pub struct Churn(HashMap<Vec<u8>, Read>);

#[derive(Clone, Copy, Debug)]
struct Read {
    /// As it was in the last one.
    stat: Digest,
    windows: u64,
}

impl Item for Read {
    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, self.windows);
        out.extend_from_slice(&self.stat);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let windows = number(from)?;
        let (stat, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(Self {
            stat: *stat,
            windows,
        })
    }
}

impl Churn {
    /// Of what nothing can be made nothing is known: more is read then. Blocks.
    pub fn read(path: &Path) -> Self {
        Self::of(path).unwrap_or_default()
    }

    fn of(path: &Path) -> Result<Self> {
        let mut reader: Reader<_, Read> = Reader::new(BufReader::new(File::open(path)?))?;
        let mut known = HashMap::new();
        reader.rest(|path, read| {
            known.insert(path.to_vec(), *read);
            Ok(())
        })?;
        Ok(Self(known))
    }

    /// Blocks.
    pub fn write(&self, path: &Path) -> Result<()> {
        if self.0.is_empty() {
            return files::remove(path);
        }
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by(|(a, _), (b, _)| super::list::order(a, b));
        let mut list = Writer::new(Vec::new());
        all.into_iter()
            .try_for_each(|(path, read)| list.add(path, read))?;
        files::write(path, &list.finish()?)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what is at `path` now is left for the window: it was read in the last ones, and has changed since. What stands still
    /// is read before the stop once more, and not in the window any more.
    pub fn leaves(&self, path: &[u8], now: &Stat) -> bool {
        let read = self.0.get(path);
        read.is_some_and(|read| read.windows >= OFTEN && read.stat != now.digest())
    }

    /// The next one: this window had to read what is at `path`.
    pub fn add(&self, next: &mut Self, path: &[u8], now: &Stat) {
        if !now.is_file() || now.is_linked() || now.content < LARGE || next.0.len() >= MOST {
            return;
        }
        let before = self.0.get(path).map_or(0, |read| read.windows);
        let read = Read {
            stat: now.digest(),
            windows: before.saturating_add(1),
        };
        next.0.insert(path.to_vec(), read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(changed: i64, content: u64) -> Stat {
        Stat {
            device: 0,
            inode: 1,
            size: content,
            modified: 0,
            changed,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            links: 1,
            special: 0,
            content,
        }
    }

    #[test]
    fn what_two_windows_had_to_read_is_left_for_the_third_while_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("churn");
        let mut known = Churn::default();
        for night in 1..=2 {
            assert!(!known.leaves(b"./db", &stat(night, LARGE)), "{night}");
            let mut next = Churn::default();
            known.add(&mut next, b"./db", &stat(night, LARGE));
            known.add(&mut next, b"./small", &stat(night, LARGE - 1));
            next.write(&path).unwrap();
            known = Churn::read(&path);
        }
        assert!(known.leaves(b"./db", &stat(3, LARGE)));
        assert!(!known.leaves(b"./db", &stat(2, LARGE)), "it stands still");
        assert!(!known.leaves(b"./small", &stat(3, LARGE)));
        Churn::default().write(&path).unwrap();
        assert!(Churn::read(&path).is_empty());
        std::fs::write(&path, "\u{1}\u{ff}").unwrap();
        assert!(Churn::read(&path).is_empty());
    }
}
