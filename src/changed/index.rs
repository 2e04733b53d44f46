//! What the parts of a source's last point hold, kept on this host: who has it need not read what is proven to be unchanged.
//!
//! A file of its own for each source: a line that says what it is, the length of the head and the head as JSON, the paths that each part
//! deletes and strips, the list of all paths, packed, and a hash of all that. One that is damaged, or that is not right for what is there
//! now, counts as none: then everything is read once more. It may be deleted at any time.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::clean::Starts;
use super::known::Known;
use super::list::{Reader, Writer};
use super::paths::Paths;
use crate::error::Result;
use crate::model::{ObjectId, PointId, SnapshotId};

const TITLE: &[u8] = b"kopi-docka index 2\n";
/// Its length.
const HASH: u64 = 32;
/// No head is as long, whatever is excluded.
const LONGEST_HEAD: u64 = 16 * 1024 * 1024;

/// The head of an index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    pub right_for: RightFor,
    /// When it was taken, in nanoseconds since 1970, and how far the clock was ahead of the time since the start.
    pub taken_at: i64,
    pub clock_offset: i64,
    pub base_at: DateTime<Utc>,
    pub parts: Vec<IndexedPart>,
}

/// What has to be the same for an index to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightFor {
    /// Of this start of the machine.
    pub boot: String,
    /// Of the file system: [`session`](super::session).
    pub session: u64,
    pub device: u64,
    /// `UUID=…`; `None` where it has none.
    pub file_system: Option<String>,
    pub inode: u64,
    pub path: PathBuf,
    pub excludes: Vec<String>,
    pub tar: String,
    /// The repository, and who we are in it.
    pub repository: String,
}

impl RightFor {
    /// Whether an index for this is one for `now`. Numbers of devices and sessions are those of one start of the machine.
    pub fn holds(&self, now: &Self, starts: &Starts) -> bool {
        if self.boot == now.boot {
            return self == now;
        }
        let of_this_start = Self {
            boot: now.boot.clone(),
            session: now.session,
            device: now.device,
            ..self.clone()
        };
        of_this_start == *now
            && now.file_system.is_some()
            && starts.connect((&self.boot, self.session), (&now.boot, now.session))
    }
}

/// A part that the repository has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedPart {
    pub backup_id: PointId,
    /// One; or that of the directories, and then those of what is in them.
    pub streams: Vec<IndexedStream>,
    deleted: Length,
    stripped: Length,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexedStream {
    pub snapshot: SnapshotId,
    pub root: ObjectId,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Length {
    paths: u64,
    bytes: u64,
}

impl Length {
    fn of(paths: &Paths) -> Self {
        Self {
            paths: paths.count,
            bytes: paths.bytes.len() as u64,
        }
    }
}

impl IndexedPart {
    pub fn new(backup_id: PointId, streams: Vec<IndexedStream>, lists: &Lists) -> Self {
        Self {
            backup_id,
            streams,
            deleted: Length::of(&lists.deleted),
            stripped: Length::of(&lists.stripped),
        }
    }

    /// Of all its streams.
    pub fn bytes(&self) -> u64 {
        self.streams.iter().map(|stream| stream.bytes).sum()
    }
}

/// What is done before a part is extracted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub deleted: Paths,
    pub stripped: Paths,
}

/// An index that is whole.
#[derive(Debug)]
pub struct Index {
    pub head: Head,
    /// Of each part.
    pub lists: Vec<Lists>,
    file: File,
    /// Where the list of paths is.
    paths: std::ops::Range<u64>,
}

pub type Going = Reader<BufReader<DeflateDecoder<BufReader<std::io::Take<File>>>>, Known>;

impl Index {
    /// `None` when there is none, or one that is damaged. Blocks.
    pub fn open(path: &Path) -> Option<Self> {
        Self::of(File::open(path).ok()?).ok()
    }

    fn of(mut file: File) -> Result<Self> {
        let length = file.metadata()?.len();
        let end = length.checked_sub(HASH).context("it is too short")?;
        let mut hashing = Hashing {
            out: std::io::sink(),
            hash: Sha256::new(),
        };
        let hashed = std::io::copy(&mut Read::by_ref(&mut file).take(end), &mut hashing)?;
        let mut wanted = Vec::new();
        file.read_to_end(&mut wanted)?;
        if hashed != end || *hashing.hash.finalize() != *wanted {
            anyhow::bail!("it is damaged");
        }
        file.rewind()?;
        let mut input = BufReader::new(&file);
        let mut title = vec![0; TITLE.len()];
        input.read_exact(&mut title)?;
        let mut length = [0; 8];
        input.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if title != TITLE || length > LONGEST_HEAD {
            anyhow::bail!("it is of another version");
        }
        let mut head = Vec::new();
        Read::by_ref(&mut input)
            .take(length)
            .read_to_end(&mut head)?;
        let head: Head = serde_json::from_slice(&head)?;
        let mut start = TITLE.len() as u64 + 8 + length;
        let mut lists = Vec::new();
        for part in &head.parts {
            let mut list = |length: Length| -> Result<Paths> {
                let mut bytes = Vec::new();
                Read::by_ref(&mut input)
                    .take(length.bytes)
                    .read_to_end(&mut bytes)?;
                start += length.bytes;
                let count = length.paths;
                Ok(Paths { bytes, count })
            };
            lists.push(Lists {
                deleted: list(part.deleted)?,
                stripped: list(part.stripped)?,
            });
        }
        Ok(Self {
            head,
            lists,
            file,
            paths: start..end,
        })
    }

    /// All paths, from the first.
    pub fn read(&self) -> Result<Going> {
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(self.paths.start))?;
        let packed = BufReader::new(file.take(self.paths.end.saturating_sub(self.paths.start)));
        Reader::new(BufReader::new(DeflateDecoder::new(packed)))
    }
}

/// An index that is being written beside the place where it will be.
pub struct NewIndex {
    /// All paths, packed.
    paths: Writer<DeflateEncoder<BufWriter<File>>>,
    folder: PathBuf,
}

/// Beside the name of the index: what a killed run left is removed by the next.
pub const UNFINISHED: &str = ".new";

impl NewIndex {
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let file = super::scratch::file(folder)?;
        let packed = DeflateEncoder::new(BufWriter::new(file), Compression::fast());
        Ok(Self {
            paths: Writer::new(packed),
            folder: folder.to_owned(),
        })
    }

    pub fn add(&mut self, path: &[u8], known: &Known) -> Result<()> {
        self.paths.add(path, known)
    }

    /// Whole, under a name of its own until it is [kept](Finished::keep).
    pub fn finish(self, head: &Head, lists: &[Lists]) -> Result<Finished> {
        let packed = self.paths.finish()?.finish()?.into_inner();
        let mut packed = packed.map_err(|error| error.into_error())?;
        packed.rewind()?;
        let file = tempfile::Builder::new()
            .suffix(UNFINISHED)
            .tempfile_in(&self.folder)
            .with_context(|| format!("cannot write to `{}`", self.folder.display()))?;
        write(file.as_file(), head, lists, &mut packed)?;
        let index =
            Index::of(file.reopen()?).context("the index was not written as it should be")?;
        let index = Arc::new(index);
        Ok(Finished { file, index })
    }
}

fn write(file: &File, head: &Head, lists: &[Lists], packed: &mut File) -> Result<()> {
    let mut hashing = Hashing {
        out: BufWriter::new(file),
        hash: Sha256::new(),
    };
    let head = serde_json::to_vec(head)?;
    hashing.write_all(TITLE)?;
    hashing.write_all(&(head.len() as u64).to_le_bytes())?;
    hashing.write_all(&head)?;
    for part in lists {
        hashing.write_all(&part.deleted.bytes)?;
        hashing.write_all(&part.stripped.bytes)?;
    }
    std::io::copy(packed, &mut hashing)?;
    let Hashing { mut out, hash } = hashing;
    out.write_all(&hash.finalize())?;
    Ok(out.flush()?)
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// An index that is whole and that does not count yet: the point whose parts it tells of is not there. Gone when dropped.
#[derive(Debug)]
pub struct Finished {
    file: NamedTempFile,
    pub index: Arc<Index>,
}

impl Finished {
    /// From now on it counts, at `path`, also after a crash. Blocks.
    pub fn keep(self, path: &Path) -> Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}
