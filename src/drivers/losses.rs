//! What a file system could not hold of what was saved: refused, or with the operator's leave restored without it, and listed.
//!
//! Owners and modes decide who may read the data, so they are no matter of leave; in a directory that the operator named the owner may be
//! lost as well.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _};

use crate::error::Result;

/// How many are kept in words; the rest is counted.
const KEPT: usize = 10_000;

/// What tar says at its end, after any error.
const TRAILER: &str = "Exiting with failure status due to previous errors";

/// Losses that a file system has no means against.
const CANNOT: &[&str] = &[
    "Operation not supported",
    "Operation not permitted",
    "Function not implemented",
    "Invalid argument",
    "Permission denied",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    pub attributes: bool,
    /// Owners and modes too.
    pub owners: bool,
}

impl Tolerance {
    pub const NONE: Self = Self {
        attributes: false,
        owners: false,
    };

    /// Whether `line`, as tar says it, is about a loss that is tolerated.
    pub fn takes(self, line: &str) -> bool {
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        let is_final = CANNOT.iter().any(|why| line.ends_with(why));
        let is_attribute = has(&[
            "extended attribute for file",
            "Cannot set SELinux context",
            "Cannot set POSIX ACLs",
        ]);
        let is_other = is_final
            && has(&[
                ": Cannot mknod",
                ": Cannot utime",
                ": Cannot create symlink to",
                ": Cannot hard link to",
            ]);
        let is_owner =
            is_final && has(&[": Cannot change ownership to", ": Cannot change mode to"]);
        self.attributes && (is_attribute || is_other) || self.owners && is_owner
    }
}

/// What was lost of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// In the words of who met them.
    pub lines: Vec<String>,
    /// Also those that are in no line here.
    pub count: usize,
}

impl Losses {
    pub fn add(&mut self, line: String) {
        self.count += 1;
        if self.lines.len() < KEPT {
            self.lines.push(line);
        }
    }

    pub fn extend(&mut self, others: Self) {
        let words = others.lines.len();
        let silent = others.count.saturating_sub(words);
        others.lines.into_iter().for_each(|line| self.add(line));
        self.count += silent;
    }

    /// What tar wrote to `said`; `None` when it said something that is not tolerated.
    pub fn read(said: &mut File, tolerance: Tolerance) -> Result<Option<Self>> {
        said.rewind()?;
        let mut losses = Self::default();
        for line in BufReader::new(said).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if line.is_empty() || line.ends_with(TRAILER) {
                continue;
            }
            if !tolerance.takes(line) {
                return Ok(None);
            }
            losses.add(line.strip_prefix("tar: ").unwrap_or(line).to_owned());
        }
        Ok(Some(losses))
    }
}

/// The end of what was written to `said`, for an error.
pub fn tail(said: &mut File) -> String {
    let lines = || -> std::io::Result<Vec<String>> {
        said.rewind()?;
        let mut last = std::collections::VecDeque::new();
        for line in BufReader::new(said).split(b'\n') {
            last.push_back(String::from_utf8_lossy(&line?).into_owned());
            if last.len() > 20 {
                last.pop_front();
            }
        }
        Ok(last.into())
    };
    lines().unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use crate::base::testing::damaged;
    use proptest::prelude::*;
    use std::io::Write as _;

    use super::*;

    const XATTR: &str = "tar: setxattrat: Cannot set 'user.a' extended attribute for file './f': Operation not supported";
    const OWNER: &str =
        "tar: ./f: Cannot change ownership to uid 1, gid 1: Operation not permitted";

    #[test]
    fn only_what_the_file_system_cannot_hold_is_tolerated() {
        let attributes = Tolerance {
            attributes: true,
            owners: false,
        };
        let all = Tolerance {
            attributes: true,
            owners: true,
        };
        for (line, by_attributes, by_all) in [
            (XATTR, true, true),
            (OWNER, false, true),
            (
                "tar: ./f: Cannot change mode to rwxr-xr-x: Operation not permitted",
                false,
                true,
            ),
            (
                "tar: ./d: Cannot mknod: Operation not permitted",
                true,
                true,
            ),
            (
                "tar: ./l: Cannot create symlink to 'x': Operation not permitted",
                true,
                true,
            ),
            (
                "tar: ./l: Cannot hard link to './x': No such file or directory",
                false,
                false,
            ),
            (
                "tar: ./f: Cannot write: No space left on device",
                false,
                false,
            ),
            ("tar: ./f: Cannot open: File exists", false, false),
            ("tar: Unexpected EOF in archive", false, false),
        ] {
            assert!(!Tolerance::NONE.takes(line), "{line}");
            assert_eq!(attributes.takes(line), by_attributes, "{line}");
            assert_eq!(all.takes(line), by_all, "{line}");
        }
    }

    #[test]
    fn one_line_of_another_kind_spoils_them_all() {
        let read = |lines: &[&str]| {
            let mut file = tempfile::tempfile().unwrap();
            for line in lines {
                writeln!(file, "{line}").unwrap();
            }
            let tolerance = Tolerance {
                attributes: true,
                owners: false,
            };
            Losses::read(&mut file, tolerance).unwrap()
        };
        let trailer = format!("tar: {TRAILER}");
        let good = read(&[XATTR, XATTR, &trailer]).unwrap();
        assert_eq!((good.count, good.lines.len()), (2, 2));
        assert!(good.lines[0].starts_with("setxattrat"));
        assert_eq!(read(&[XATTR, OWNER]), None);
        assert_eq!(read(&[]), Some(Losses::default()));
    }

    proptest! {
        /// What is not known is no loss but an error.
        #[test]
        fn an_unknown_line_is_never_tolerated(
            line in damaged(b"tar: ./f: Cannot change ownership to uid 1, gid 1: Operation not permitted"),
        ) {
            let mut said = tempfile::tempfile().unwrap();
            said.write_all(&line).unwrap();
            let tolerance = Tolerance { attributes: true, owners: true };
            let found = Losses::read(&mut said, tolerance).unwrap();
            let text = String::from_utf8_lossy(&line).into_owned();
            let is_known = CANNOT.iter().any(|end| text.contains(end)) || text.trim().is_empty() || text.contains(TRAILER);
            prop_assert!(found.is_none() || is_known, "{}", text);
            let _ = tail(&mut said);
        }
    }
}
