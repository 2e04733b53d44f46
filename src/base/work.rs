//! Work directories: they hold secrets while those are needed. One goes with its value; what a killed run left goes with the next run.

use std::path::Path;

use anyhow::Context as _;
use tempfile::TempDir;

use super::files::make_private_folder;
use crate::error::Result;

const PREFIX: &str = "work-";

/// Makes one below `runtime`, which only we can see into.
pub fn make(runtime: &Path) -> Result<TempDir> {
    make_private_folder(runtime)?;
    tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(runtime)
        .with_context(|| format!("cannot create a work directory in `{}`", runtime.display()))
}

/// Removes those that a killed run left below `runtime`. No other run may be at work.
pub fn remove_stale(runtime: &Path) -> Result<()> {
    for entry in std::fs::read_dir(runtime).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove `{}`", entry.path().display()))?;
        }
    }
    Ok(())
}
