//! The newest bundle of this host, as far as its directory answers.

use std::path::{Path, PathBuf};

use super::shelf::Shelf;
use crate::base::blocking::{aside, looked_up};
use crate::base::paths::Paths;
use crate::config::Config;
use crate::repository::identity;
use crate::repository::machine::Machine;

/// `None` where none is, and where nobody can tell.
pub async fn newest(paths: &Paths, config: &Config, folder: &Path) -> Option<PathBuf> {
    let host = identity(paths, config).host;
    let machine = Machine::of(paths).ok()?.id;
    let folder = folder.to_owned();
    let looking = aside(move || Ok(Shelf::at(&folder, &host, &machine).newest()));
    looked_up(looking).await.ok().flatten()
}
