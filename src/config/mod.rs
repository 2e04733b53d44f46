mod key_path;
mod params;
mod password;
mod permissions;
mod profile;
mod schema;
mod secret;
mod value;

use std::path::{Path, PathBuf};

use crate::context::Paths;
use crate::error::Result;

pub use schema::Config;

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
