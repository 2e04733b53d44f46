mod key_path;
mod params;
mod secret;
mod value;

use std::path::{Path, PathBuf};

use crate::context::Paths;
use crate::error::Result;

pub struct Config {}

pub struct Loaded {
    pub config: Config,
    /// The file it was read from.
    pub path: PathBuf,
    /// Such as unknown keys, each with its JSON path.
    pub warnings: Vec<String>,
}

pub fn load(_paths: &Paths, _explicit: Option<&Path>) -> Result<Loaded> {
    unimplemented!()
}
