//! Whether the files of a source have holes that tar should look for.
//!
//! GNU tar 1.34 with `--sparse` takes every file that has fewer blocks than bytes for a sparse one. Where `SEEK_HOLE` then finds no
//! hole (a file system that compresses: ZFS), it reads that file and *all others like it* in pieces of 512 bytes, twice, the first
//! time without any output. A file that shows no blocks at all but has data (some FUSE file systems) it archives as one
//! hole. So it is asked to only where it pays, and never where it would lose data.
//!
//! The answer must not change while the source does not: else the same data gives another stream.

use std::fs::{File, Metadata};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, SeekFrom, seek};
use rustix::io::Errno;

/// What the files of a source that have fewer blocks than bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// What files with holes do not have to keep.
    spared: u64,
    /// Length of the files without holes: these are compressed.
    compressed: u64,
    /// There is a file that shows no blocks but has data.
    has_hidden_data: bool,
}

/// What `SEEK_HOLE` and `SEEK_DATA` say of a file with fewer blocks than bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sparse,
    Compressed,
    HiddenData,
}

impl Holes {
    /// Whether tar should look for them. In a source with both kinds (a sparse file on a file system that compresses) either the holes are
    /// read as zeros, or what is compressed is read twice: the smaller of both is taken. Without `--sparse` the holes
    /// come back as zeros, which the same file system compresses to nothing.
    pub fn are_worth_keeping(&self) -> bool {
        self.spared > 0 && self.spared >= self.compressed && !self.has_hidden_data
    }

    /// Bytes of holes that will be saved as zeros.
    pub fn filled(&self) -> u64 {
        if self.are_worth_keeping() {
            0
        } else {
            self.spared
        }
    }

    /// Looks at a regular file; returns how many of its bytes are holes. A file that has all its blocks costs nothing,
    /// another one an `open` and one or two `lseek`, whatever its length.
    pub(super) fn look(&mut self, path: &Path, metadata: &Metadata) -> u64 {
        let (length, blocks) = (metadata.len(), metadata.blocks());
        // As tar reckons it.
        if blocks >= length.div_ceil(512) {
            return 0;
        }
        self.count(kind(path, blocks), length, blocks)
    }

    fn count(&mut self, kind: Kind, length: u64, blocks: u64) -> u64 {
        match kind {
            Kind::Sparse => {
                let spared = length.saturating_sub(blocks.saturating_mul(512));
                self.spared = self.spared.saturating_add(spared);
                spared
            }
            Kind::Compressed => {
                self.compressed = self.compressed.saturating_add(length);
                0
            }
            Kind::HiddenData => {
                self.has_hidden_data = true;
                0
            }
        }
    }
}

/// One that cannot be opened is taken for what is safe with or without `--sparse`.
fn kind(path: &Path, blocks: u64) -> Kind {
    // Neither the time of the last access is touched by this, nor is a link followed or a device waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    match file {
        Ok(file) if blocks == 0 => match seek(&file, SeekFrom::Data(0)) {
            Err(Errno::NXIO) => Kind::Sparse,
            _ => Kind::HiddenData,
        },
        Ok(file) => {
            let end = file.metadata().map_or(0, |metadata| metadata.len());
            match seek(&file, SeekFrom::Hole(0)) {
                Ok(hole) if hole < end => Kind::Sparse,
                _ => Kind::Compressed,
            }
        }
        Err(_) => Kind::Compressed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(files: &[(Kind, u64, u64)]) -> Holes {
        let mut holes = Holes::default();
        for (kind, length, blocks) in files {
            holes.count(*kind, *length, *blocks);
        }
        holes
    }

    #[test]
    fn the_cheaper_way_is_taken_and_none_that_loses_data() {
        let (big, small) = ((Kind::Sparse, 1 << 30, 8), (Kind::Sparse, 1 << 20, 8));
        let compressed = (Kind::Compressed, 100 << 20, 1000);
        let hidden = (Kind::HiddenData, 10, 0);
        for (files, expected) in [
            (&[][..], false),
            (&[small], true),
            (&[compressed], false),
            (&[small, compressed], false),
            (&[big, compressed], true),
            (&[big, hidden], false),
        ] {
            assert_eq!(holes(files).are_worth_keeping(), expected, "{files:?}");
        }
        // What is lost of the shape is told.
        for (files, is_told) in [
            (&[small, compressed][..], true),
            (&[big, compressed], false),
            (&[compressed], false),
        ] {
            assert_eq!(holes(files).filled() > 0, is_told, "{files:?}");
        }
    }

    #[test]
    fn only_a_real_hole_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(kind(&path, 0), Kind::Sparse);
        std::fs::write(&path, vec![1; 1 << 20]).unwrap();
        // As a file system that compresses would show them.
        assert_eq!(kind(&path, 100), Kind::Compressed);
        assert_eq!(kind(&path, 0), Kind::HiddenData);
        assert_eq!(kind(&folder.path().join("gone"), 0), Kind::Compressed);
    }
}
