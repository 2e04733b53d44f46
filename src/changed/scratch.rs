//! Lists that live for one pass: files without a name.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _};
use std::path::Path;

use anyhow::Context as _;

use super::list::{Item, Reader, Writer};
use crate::error::Result;

pub type Filling = Writer<BufWriter<File>>;
pub type Going<T> = Reader<BufReader<File>, T>;

/// A list that is being written in `folder`.
pub fn fill(folder: &Path) -> Result<Filling> {
    Ok(Writer::new(BufWriter::new(file(folder)?)))
}

pub fn file(folder: &Path) -> Result<File> {
    tempfile::tempfile_in(folder).with_context(|| format!("cannot write to `{}`", folder.display()))
}

/// A list that was written, to be gone through any number of times, one after the other.
pub struct Scratch {
    file: File,
    pub count: u64,
}

impl Scratch {
    pub fn of(filled: Filling) -> Result<Self> {
        let count = filled.count;
        let file = filled.finish()?.into_inner();
        let file = file.map_err(|error| error.into_error());
        Ok(Self {
            file: file.context("a list of paths cannot be written")?,
            count,
        })
    }

    /// From its beginning.
    pub fn read<T: Item>(&self) -> Result<Going<T>> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Reader::new(BufReader::new(file))
    }
}
