//! What tar is given to read: one list of names; or, of much, the directories in one list and what is in them in several, each for a
//! tar of its own, to be read side by side.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::path::Path;

use anyhow::Context as _;

use super::scratch;
use super::stat::Stat;
use crate::error::Result;

/// One list.
#[derive(Debug)]
pub struct Names {
    /// Each with a zero byte behind, at its beginning.
    pub file: File,
    pub count: u64,
    /// Of files, without their holes.
    pub bytes: u64,
    /// One of them is a file with several names.
    pub has_links: bool,
}

/// How much is read side by side.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// What is less than this goes through one tar.
    pub above: u64,
    pub most_streams: u8,
}

#[cfg(test)]
impl Cut {
    pub const NONE: Self = Self {
        above: u64::MAX,
        most_streams: 1,
    };
}

/// What will be listed, as far as it is known before.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    pub bytes: u64,
    pub paths: u64,
    pub has_links: bool,
}

/// Of so many names tar keeps those of files that have several, with a hundred bytes each of all others: these go through a tar that
/// does not.
const MANY: u64 = 200_000;

pub struct Filling {
    out: BufWriter<File>,
    count: u64,
    bytes: u64,
    has_links: bool,
}

impl Filling {
    pub fn new(folder: &Path) -> Result<Self> {
        Ok(Self {
            out: BufWriter::new(scratch::file(folder)?),
            count: 0,
            bytes: 0,
            has_links: false,
        })
    }

    pub fn add(&mut self, path: &[u8], stat: &Stat) -> Result<()> {
        let written = self
            .out
            .write_all(path)
            .and_then(|()| self.out.write_all(&[0]));
        written.context("the list for tar cannot be written")?;
        self.count += 1;
        self.bytes += stat.content;
        self.has_links |= stat.is_linked();
        Ok(())
    }

    pub fn finish(self) -> Result<Names> {
        let file = self.out.into_inner().map_err(|error| error.into_error());
        let mut file = file.context("the list for tar cannot be written")?;
        file.rewind()?;
        Ok(Names {
            file,
            count: self.count,
            bytes: self.bytes,
            has_links: self.has_links,
        })
    }
}

/// Lists that are written at once.
pub struct Divided {
    /// One for everything, or the directories before the rest.
    lists: Vec<Filling>,
    /// How many of the rest take what comes in turn; the one after them takes files with several names.
    in_turn: u64,
    are_linked_apart: bool,
    expected: u64,
    passed: u64,
    /// Where a file with several names is, so that tar sees them all.
    homes: HashMap<u64, u64>,
}

/// What a member costs beside its content.
const HEADER: u64 = 1024;

impl Divided {
    pub fn new(folder: &Path, expected: Expected, cut: Cut) -> Result<Self> {
        let in_turn = if expected.bytes > cut.above {
            u64::from(cut.most_streams.max(1))
        } else {
            1
        };
        let are_linked_apart = expected.has_links && expected.paths > MANY;
        let is_divided = in_turn > 1 || are_linked_apart;
        let lists = if is_divided {
            1 + in_turn + u64::from(are_linked_apart)
        } else {
            1
        };
        let lists = (0..lists).map(|_| Filling::new(folder));
        Ok(Self {
            lists: lists.collect::<Result<_>>()?,
            in_turn,
            are_linked_apart,
            expected: (expected.bytes + HEADER * expected.paths).max(1),
            passed: 0,
            homes: HashMap::new(),
        })
    }

    pub fn add(&mut self, path: &[u8], stat: &Stat) -> Result<()> {
        let list = match self.lists.len() {
            1 => 0,
            _ if stat.is_directory() => 0,
            _ => 1 + self.place(stat),
        };
        let list = usize::try_from(list)?;
        let list = self.lists.get_mut(list).context("there is no such list")?;
        list.add(path, stat)
    }

    /// Neighbours stay together: they lie together on the disk, and are found again by deduplication.
    fn place(&mut self, stat: &Stat) -> u64 {
        if self.are_linked_apart && stat.is_linked() {
            return self.in_turn;
        }
        let size = HEADER + stat.content;
        let middle = u128::from(self.passed) + u128::from(size / 2);
        self.passed = self.passed.saturating_add(size);
        let place = middle * u128::from(self.in_turn) / u128::from(self.expected);
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let place = place.min(self.in_turn - 1);
        if stat.is_linked() {
            *self.homes.entry(stat.inode).or_insert(place)
        } else {
            place
        }
    }

    /// One list, or the directories and at least one with what is in them.
    pub fn finish(self) -> Result<Vec<Names>> {
        let lists = self.lists.into_iter().enumerate();
        lists
            .filter(|(number, list)| *number == 0 || list.count > 0)
            .map(|(_, list)| list.finish())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn stat(mode: u32, size: u64, (inode, links): (u64, u64)) -> Stat {
        Stat {
            device: 0,
            inode,
            size,
            modified: 0,
            changed: 0,
            mode,
            uid: 0,
            gid: 0,
            links,
            special: 0,
            content: size,
        }
    }

    fn texts(divided: Divided) -> Vec<(String, bool)> {
        let lists = divided.finish().unwrap().into_iter();
        lists
            .map(|mut names| {
                let mut text = String::new();
                names.file.read_to_string(&mut text).unwrap();
                (text.replace('\0', " "), names.has_links)
            })
            .collect()
    }

    fn tree(divided: &mut Divided) {
        let (directory, file) = (0o040_755, 0o100_644);
        let one = |size| stat(file, size, (1, 1));
        for (path, stat) in [
            (".", stat(directory, 0, (1, 0))),
            ("./a", one(400_000)),
            ("./b", stat(file, 10, (7, 2))),
            ("./d", stat(directory, 0, (1, 0))),
            ("./d/c", one(300_000)),
            ("./d/e", one(300_000)),
            ("./f", stat(file, 10, (7, 2))),
        ] {
            divided.add(path.as_bytes(), &stat).unwrap();
        }
    }

    const TREE: Expected = Expected {
        bytes: 1_000_020,
        paths: 7,
        has_links: true,
    };

    #[test]
    fn what_is_large_is_divided_into_runs_and_the_names_of_a_file_stay_together() {
        let folder = tempfile::tempdir().unwrap();
        let two = Cut {
            above: 1_000_000,
            most_streams: 2,
        };
        let mut divided = Divided::new(folder.path(), TREE, two).unwrap();
        tree(&mut divided);
        let wanted = [
            (". ./d ", false),
            ("./a ./b ./f ", true),
            ("./d/c ./d/e ", false),
        ];
        assert_eq!(
            texts(divided),
            wanted.map(|(text, links)| (text.to_owned(), links))
        );
        let small = Cut {
            above: 2_000_000,
            ..two
        };
        let mut divided = Divided::new(folder.path(), TREE, small).unwrap();
        tree(&mut divided);
        assert_eq!(texts(divided).len(), 1);
    }

    #[test]
    fn of_very_many_names_those_of_files_with_several_go_apart() {
        let folder = tempfile::tempdir().unwrap();
        let many = Expected {
            paths: MANY + 1,
            ..TREE
        };
        let mut divided = Divided::new(folder.path(), many, Cut::NONE).unwrap();
        tree(&mut divided);
        let wanted = [
            (". ./d ", false),
            ("./a ./d/c ./d/e ", false),
            ("./b ./f ", true),
        ];
        assert_eq!(
            texts(divided),
            wanted.map(|(text, links)| (text.to_owned(), links))
        );
        let none = Expected {
            has_links: false,
            ..many
        };
        let mut divided = Divided::new(folder.path(), none, Cut::NONE).unwrap();
        tree(&mut divided);
        assert_eq!(texts(divided).len(), 1);
    }
}
