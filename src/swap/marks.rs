//! What our own directories beside and inside a target are called, and how they are told from everything else.

use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::error::Result;
use crate::model::BackupId;

/// The longest name of a file on Linux.
const MAX_NAME_BYTES: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Where something is extracted.
    New,
    /// What was there before a restore.
    Before,
    /// What services had while a restore was half done that was taken back.
    Since,
    /// A safety copy that is being removed: it is not whole any more.
    Drop,
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Before => "before",
            Self::Since => "since",
            Self::Drop => "drop",
        }
    }

    fn suffix(self, id: BackupId) -> String {
        format!(".kopi-docka-{}-{id}", self.word())
    }
}

/// `<target>.kopi-docka-<word>-<id>`, the name cut where it would get too long.
pub fn beside(target: &Path, mark: Mark, id: BackupId) -> PathBuf {
    let suffix = mark.suffix(id);
    let name = target.file_name().unwrap_or_default();
    let room = MAX_NAME_BYTES - suffix.len();
    let mut new = if name.len() > room {
        let text: String = name
            .to_string_lossy()
            .chars()
            .scan(0, |used, c| {
                *used += c.len_utf8();
                (*used <= room).then_some(c)
            })
            .collect();
        OsString::from(text)
    } else {
        name.to_owned()
    };
    new.push(suffix);
    target.with_file_name(new)
}

/// `<target>/.kopi-docka-<word>-<id>`
pub fn inside(target: &Path, mark: Mark, id: BackupId) -> PathBuf {
    target.join(mark.suffix(id))
}

/// `path`, which has a name of ours, with another mark.
pub fn renamed(path: &Path, mark: Mark) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let Some((base, _, id)) = parse(name) else {
        return path.to_owned();
    };
    let mut new = base.to_owned();
    new.push(mark.suffix(id));
    path.with_file_name(new)
}

/// What `name` is if we gave it: the name before the mark (empty for one inside a target), the mark, the restore's id.
pub fn parse(name: &OsStr) -> Option<(&OsStr, Mark, BackupId)> {
    let bytes = name.as_bytes();
    [Mark::New, Mark::Before, Mark::Since, Mark::Drop]
        .into_iter()
        .find_map(|mark| {
            let word = format!(".kopi-docka-{}-", mark.word());
            let at = bytes
                .windows(word.len())
                .rposition(|window| window == word.as_bytes())?;
            let (base, rest) = bytes.split_at_checked(at)?;
            let text = std::str::from_utf8(rest.get(word.len()..)?).ok()?;
            let id = BackupId::parse(text).ok()?;
            // To the letter: what reads as a time may be written in another way than ours.
            (id.to_string() == text).then_some((OsStr::from_bytes(base), mark, id))
        })
}

/// Whether `path` is the name that restore `id` gives to what was at `target`.
pub fn is_copy_of(path: &Path, target: &Path, id: BackupId) -> bool {
    let own = |mark| renamed(&beside(target, Mark::Before, id), mark);
    [Mark::Before, Mark::Since]
        .iter()
        .any(|mark| path == own(*mark) || path == inside(target, *mark, id))
}

/// Whether `name`, directly in a target, is one that we give.
fn is_inside(name: &OsStr) -> bool {
    parse(name).is_some_and(|(base, _, _)| base.is_empty())
}

/// Whether an entry of a target is a directory of ours. Not by its owner or mode: many a service begins with `chown -R`.
pub fn is_own(name: &OsStr, metadata: &Metadata) -> bool {
    is_inside(name) && metadata.is_dir()
}

/// The names of our own directories in `folder`. Blocks.
pub fn own_folders(folder: &Path) -> Result<Vec<String>> {
    let list = || -> std::io::Result<Vec<String>> {
        let mut own = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_inside(&name)
                && is_own(&name, &entry.metadata()?)
                && let Ok(name) = name.into_string()
            {
                own.push(name);
            }
        }
        own.sort();
        Ok(own)
    };
    list().with_context(|| format!("`{}` cannot be listed", folder.display()))
}

/// The pattern for `tar --exclude` that leaves out `name`, directly in a source, and nothing else.
pub fn pattern(name: &str) -> String {
    format!("./{name}")
}

/// Whether [`pattern`] made it.
pub fn is_pattern(pattern: &str) -> bool {
    pattern
        .strip_prefix("./")
        .is_some_and(|name| is_inside(OsStr::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_names_stay_within_what_a_file_system_takes_and_are_found_again() {
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let target = Path::new("/srv/data");
        assert_eq!(
            beside(target, Mark::Before, id),
            Path::new("/srv/data.kopi-docka-before-2026-01-02T03-04-05Z")
        );
        assert_eq!(
            inside(target, Mark::New, id),
            Path::new("/srv/data/.kopi-docka-new-2026-01-02T03-04-05Z")
        );
        for name in ["data".to_owned(), "x".repeat(255), "ä".repeat(127)] {
            for mark in [Mark::New, Mark::Before, Mark::Since, Mark::Drop] {
                let path = beside(&Path::new("/srv").join(&name), mark, id);
                assert_eq!(path.parent(), Some(Path::new("/srv")));
                let found = path.file_name().unwrap();
                assert!(found.len() <= MAX_NAME_BYTES);
                let (base, parsed, of) = parse(found).unwrap();
                assert!(name.as_bytes().starts_with(base.as_bytes()));
                assert_eq!((parsed, of), (mark, id));
            }
        }
    }

    #[test]
    fn only_names_to_the_letter_are_ours() {
        let ours = ".kopi-docka-before-2026-01-02T03-04-05Z";
        assert!(is_inside(OsStr::new(ours)) && is_pattern(&pattern(ours)));
        assert!(!is_pattern(ours) && !is_pattern("./cache"));
        for other in [
            ".kopi-docka-before-",
            ".kopi-docka-before-2026-1-2T03-04-05Z",
            ".kopi-docka-before-2026-01-02T03-04-05Z.old",
            ".kopi-docka-later-2026-01-02T03-04-05Z",
            "x.kopi-docka-before-2026-01-02T03-04-05Z",
            ".kopi-docka",
            "",
        ] {
            assert!(!is_inside(OsStr::new(other)), "{other}");
        }
    }

    proptest! {
        /// What is removed is only what bears our mark: a name that we made is read back, and no other one.
        #[test]
        fn a_name_is_read_back_and_no_other_one_is_ours(name in "[^/\\x00]{1,40}", seconds in 0..4_000_000_000i64) {
            let id = chrono::DateTime::from_timestamp(seconds, 0).unwrap();
            let id = BackupId::parse(&id.format("%Y-%m-%dT%H-%M-%SZ").to_string()).unwrap();
            prop_assume!(name != "." && name != ".." && parse(OsStr::new(&name)).is_none());
            for mark in [Mark::New, Mark::Before] {
                let made = beside(&Path::new("/srv").join(&name), mark, id);
                let (_, found, of) = parse(made.file_name().unwrap()).unwrap();
                prop_assert_eq!((found, of), (mark, id));
            }
        }
    }
}
