//! One line of `tar --list --verbose --full-time --utc --quoting-style=escape`, as GNU tar 1.30 and newer write it.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

use crate::drivers::kopia;
use crate::model::point::Attributes;

/// What an archive has of one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// In the source, without a slash in front; bytes that are no UTF-8 are replaced.
    pub path: String,
    pub kind: Kind,
    /// As long as the file is; 0 for what has no content.
    pub bytes: u64,
    pub modified: Option<DateTime<Utc>>,
    /// Where a link leads.
    pub link: Option<String>,
    /// The path as it is.
    #[serde(skip)]
    pub name: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File,
    Directory,
    Symlink,
    /// Another name of a file.
    HardLink,
    Other,
}

impl Entry {
    /// Of what Kopia keeps as a file or directory of its own. Where a link leads is no part of it.
    pub fn of_kopia(path: &str, entry: &kopia::Entry) -> Self {
        let kind = if entry.is_folder() {
            Kind::Directory
        } else if entry.is_file() {
            Kind::File
        } else if entry.is_link() {
            Kind::Symlink
        } else {
            Kind::Other
        };
        Self {
            path: path.to_owned(),
            kind,
            bytes: if entry.is_file() { entry.size } else { 0 },
            modified: Some(entry.mtime),
            link: None,
            name: path.into(),
        }
    }

    /// Of a source that is one file.
    pub fn of_file(name: &str, bytes: u64, attributes: &Attributes) -> Self {
        Self {
            path: name.to_owned(),
            kind: Kind::File,
            bytes,
            modified: Some(attributes.mtime),
            link: None,
            name: name.into(),
        }
    }

    /// `None` for the root of the source, and for what is no such line.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let mut rest = line;
        let rights = field(&mut rest)?;
        let _owner = field(&mut rest)?;
        let size = field(&mut rest)?;
        let (date, time) = (field(&mut rest)?, field(&mut rest)?);
        // One blank, and then the name, which may begin with more. A time that is shorter than the longest before it is filled up with
        // blanks: ours begin with a dot, and have none in front of it.
        let name = match rest.trim_ascii_start() {
            ours if ours.starts_with(b"./") => ours,
            _ => rest.get(1..)?,
        };
        let (kind, arrow) = match rights.first()? {
            b'-' => (Kind::File, ""),
            b'd' => (Kind::Directory, ""),
            b'l' => (Kind::Symlink, " -> "),
            b'h' => (Kind::HardLink, " link to "),
            _ => (Kind::Other, ""),
        };
        let (name, link) = match arrow {
            "" => (name, None),
            arrow => split(name, arrow.as_bytes())?,
        };
        let name = unescaped(name);
        let mut path = name.strip_prefix(b"./").unwrap_or(&name);
        while let Some(shorter) = path.strip_suffix(b"/") {
            path = shorter;
        }
        if path.is_empty() || path == b"." {
            return None;
        }
        let when = format!("{} {}", text(date), text(time));
        let modified = NaiveDateTime::parse_from_str(&when, "%Y-%m-%d %H:%M:%S%.f").ok();
        Some(Self {
            path: text(path),
            kind,
            // Of a device it is two numbers.
            bytes: text(size).parse().unwrap_or_default(),
            modified: modified.map(|time| time.and_utc()),
            link: link.map(|link| text(&unescaped(link))),
            name: path.to_owned(),
        })
    }
}

/// The next word of `rest`, which is then what follows it.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = rest.iter().position(|byte| *byte != b' ')?;
    let word = rest.get(start..)?;
    let end = word.iter().position(|byte| *byte == b' ')?;
    let (word, after) = word.split_at_checked(end)?;
    *rest = after;
    Some(word)
}

fn split<'a>(name: &'a [u8], arrow: &[u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let at = name.windows(arrow.len()).position(|part| part == arrow)?;
    Some((name.get(..at)?, name.get(at + arrow.len()..)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `a\nb\303\244` → what it stands for.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let octal = rest.get(..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        if let Some(byte) = octal {
            bytes.push(byte);
            rest = rest.get(3..).unwrap_or_default();
        } else if let Some((&letter, after)) = rest.split_first() {
            rest = after;
            bytes.push(match letter {
                b'a' => 7,
                b'b' => 8,
                b't' => b'\t',
                b'n' => b'\n',
                b'v' => 11,
                b'f' => 12,
                b'r' => b'\r',
                b'?' => 127,
                other => other,
            });
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged;
    use proptest::prelude::*;

    fn entry(line: &str) -> Entry {
        Entry::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn lines_are_understood_as_tar_writes_them() {
        // GNU tar 1.34.
        let file = entry("-rw-r--r-- 0/0              12 2026-01-02 03:04:05.678 ./sub/a b");
        assert_eq!(
            (&*file.path, file.kind, file.bytes),
            ("sub/a b", Kind::File, 12)
        );
        let time = file.modified.unwrap();
        assert_eq!(time.to_rfc3339(), "2026-01-02T03:04:05.678+00:00");
        let folder = entry("drwxr-xr-x 0/0               0 2026-01-02 03:04:05 ./sub/");
        assert_eq!((&*folder.path, folder.kind), ("sub", Kind::Directory));
        let link = entry("lrwxrwxrwx 0/0               0 2026-01-02 03:04:05 ./l -> ../x -> y");
        assert_eq!(
            (&*link.path, link.link.as_deref()),
            ("l", Some("../x -> y"))
        );
        let hard =
            entry("hrw-r--r-- 0/0               0 2026-01-02 03:04:05 ./h link to ./sub/a b");
        assert_eq!(
            (hard.kind, hard.link.as_deref()),
            (Kind::HardLink, Some("./sub/a b"))
        );
        let device = entry("brw-r--r-- 0/0             8,1 2026-01-02 03:04:05 ./dev");
        assert_eq!((device.kind, device.bytes), (Kind::Other, 0));
        let odd = entry("-rw-r--r-- 1000/1000 1 1969-12-31 23:59:58 ./ \\n\\\\\\303\\244");
        assert_eq!(odd.path, " \n\\ä");
        let no_text = entry("-rw-r--r-- 0/0 1 2026-01-02 03:04:05 ./a\\377\\134b");
        assert_eq!(no_text.name, b"a\xff\\b");
        let shorter = entry("-rw-r--r-- 0/0 1 2026-01-02 03:04:05.12   ./a");
        assert_eq!(shorter.path, "a", "filled up with blanks");
        for nothing in ["drwxr-xr-x 0/0 0 2026-01-02 03:04:05 ./", "", "tar: x"] {
            assert_eq!(Entry::parse(nothing.as_bytes()), None, "{nothing}");
        }
    }

    proptest! {
        /// Names in an archive are whatever its owner wanted.
        #[test]
        fn no_line_of_tar_breaks_it(
            line in damaged(b"lrwxrwxrwx 0/0               0 2026-01-02 03:04:05.678 ./sub/a b -> ../c"),
        ) {
            let _ = Entry::parse(&line);
        }
    }
}
