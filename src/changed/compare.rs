//! Whether files that nothing is known to have changed are still what a part holds of them. A disk that rots, and a program that writes
//! past the file system, leave everything as it was that the kernel says of a file.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::fs::{Advice, AtFlags, SeekFrom, fadvise, seek};
use rustix::io::Errno;

use super::ground::Root;
use super::lease::open_beneath;
use super::list::below;
use super::scratch::Scratch;
use super::stat::Stat;
use crate::drivers::tar::{Member, MemberKind, next_member};
use crate::error::Result;

/// What came of one stream, or of several.
#[derive(Debug, Default)]
pub struct Compared {
    pub files: u64,
    pub bytes: u64,
    /// Files that changed meanwhile: nothing is known of them.
    pub changed: u64,
    pub differing: u64,
    /// The first of these.
    pub differences: Vec<Difference>,
}

#[derive(Debug)]
pub struct Difference {
    /// Below the source.
    pub path: PathBuf,
    pub what: String,
}

const MOST_TOLD: usize = 100;
const CHUNK: usize = 256 * 1024;

impl Compared {
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.changed += other.changed;
        self.differing += other.differing;
        let room = MOST_TOLD.saturating_sub(self.differences.len());
        self.differences
            .extend(other.differences.into_iter().take(room));
    }
}

/// Reads `stream` to its end, and each of `files` that is in it from the disk. Blocks.
pub fn compare(
    root: &Root,
    files: &Scratch,
    stream: &mut impl Read,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<Compared> {
    let mut files = files.read::<Stat>()?;
    let mut compared = Compared::default();
    while let Some((member, stored)) = next_member(stream)? {
        let wanted = match member.kind {
            MemberKind::File => files.find(&member.name)?.copied(),
            _ => None,
        };
        let mut content = stream.take(stored);
        if let Some(stat) = wanted {
            let verdict = one(root, &member, &stat, &mut content)?;
            compared.add(verdict);
        }
        skip(&mut content)?;
        if is_cancelled() {
            anyhow::bail!("it was given up");
        }
    }
    skip(stream)?;
    Ok(compared)
}

fn skip(stream: &mut impl Read) -> Result<()> {
    std::io::copy(stream, &mut std::io::sink()).context("tar's stream cannot be read")?;
    Ok(())
}

fn one(root: &Root, member: &Member, stat: &Stat, content: &mut impl Read) -> Result<Compared> {
    let path = below(&member.name);
    let mut compared = Compared {
        files: 1,
        ..Compared::default()
    };
    let what = match open_beneath(root.as_fd(), path) {
        Ok(file) => same(&File::from(file), member, content, &mut compared.bytes)?,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => None,
        Err(error) => Some(cannot_be_read(&error.into())),
    };
    // Whatever was read, it says nothing of a file that is another one by now.
    let now = rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW);
    let is_same = now.is_ok_and(|now| {
        let now = Stat::of(&now).relative_to(root.stat.device);
        now.digest() == stat.digest()
    });
    if !is_same {
        return Ok(Compared {
            changed: 1,
            ..Compared::default()
        });
    }
    if let Some(what) = what {
        let path = path.to_owned();
        compared.differing = 1;
        compared.differences.push(Difference { path, what });
    }
    Ok(compared)
}

/// What is different in `file`, if anything is; an error when the stream cannot be read.
fn same(
    file: &File,
    member: &Member,
    content: &mut impl Read,
    bytes: &mut u64,
) -> Result<Option<String>> {
    // From the disk, not from memory.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    let all = vec![(0, member.size)];
    let mut end = 0;
    for (start, length) in member.pieces.as_ref().unwrap_or(&all) {
        match is_zero(file, end, *start) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(at_places(end, *start))),
            Err(error) => return Ok(Some(cannot_be_read(&error))),
        }
        if let Some(what) = piece(file, content, (*start, *length))? {
            return Ok(Some(what));
        }
        *bytes += length;
        end = start.saturating_add(*length);
    }
    Ok(match is_zero(file, end, member.size) {
        Ok(true) => None,
        Ok(false) => Some(at_places(end, member.size)),
        Err(error) => Some(cannot_be_read(&error)),
    })
}

fn piece(
    file: &File,
    content: &mut impl Read,
    (start, length): (u64, u64),
) -> Result<Option<String>> {
    let (mut stored, mut found) = (vec![0; CHUNK], vec![0; CHUNK]);
    let mut at = start;
    let end = start.saturating_add(length);
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let (stored, found) = (
            stored.get_mut(..count).unwrap_or_default(),
            found.get_mut(..count).unwrap_or_default(),
        );
        content
            .read_exact(stored)
            .context("tar's stream ends too early")?;
        if let Err(error) = file.read_exact_at(found, at) {
            return Ok(Some(cannot_be_read(&error)));
        }
        if stored != found {
            return Ok(Some(at_places(at, at + count as u64)));
        }
        at += count as u64;
    }
    // Each piece fills up its last block.
    let rest = length.next_multiple_of(512) - length;
    skip(&mut content.take(rest))?;
    Ok(None)
}

fn at_places(from: u64, to: u64) -> String {
    format!("has other bytes than were saved, between {from} and {to}")
}

fn cannot_be_read(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

/// Whether there is nothing but zeros from `from` to `to`; holes are not read.
fn is_zero(file: &File, from: u64, to: u64) -> std::io::Result<bool> {
    let mut buffer = vec![0; CHUNK];
    let mut at = from;
    while at < to {
        at = match seek(file, SeekFrom::Data(at)) {
            Ok(data) => data,
            // No data behind it.
            Err(Errno::NXIO) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(at))?.min(to);
        while at < end {
            let count = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
            let found = buffer.get_mut(..count).unwrap_or_default();
            file.read_exact_at(found, at)?;
            if found.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += count as u64;
        }
    }
    Ok(true)
}
