//! The recipe of a unit: everything but the data that is needed to build it again.
//!
//! [`capture`] fills a folder, which then becomes part of a snapshot:
//!
//! ```text
//! files/<absolute path>           compose files, `.env`, and what the compose files name
//! docker/containers/<name>.json   `docker inspect`, secrets replaced
//! docker/volumes/<name>.json      `docker volume inspect`, also of volumes whose data is not saved
//! docker/networks/<name>.json     `docker network inspect`
//! docker/images.json              which image each container runs, by id, tags and digests
//! secrets.json                    what was replaced, by container; only when asked for
//! ```
//!
//! Reading order: [`yaml`] → [`environment`] → [`interpolate`] → [`references`] (what a compose file names) →
//! [`files`] (follow them all, copy them) → [`redact`] → [`dumps`] (the engine's side).
//!
//! A missing or broken file never ends a capture: it is a gap.

mod dumps;
mod environment;
mod files;
mod interpolate;
mod redact;
mod references;
#[cfg(test)]
mod tests;
mod yaml;

use std::path::Path;

pub use redact::REDACTED;

use crate::docker::Engine;
use crate::error::Result;
use crate::model::Unit;
use crate::model::point::{FileRecord, ProjectRecord};
use crate::model::source::Gap;

/// What was put into the folder, and what was not.
#[derive(Debug)]
pub struct Captured {
    /// `None` for a unit that is no compose project.
    pub project: Option<ProjectRecord>,
    /// Each is at `files/<its path>`.
    pub files: Vec<FileRecord>,
    /// In addition to those that discovery found.
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
}

/// Writes the recipe of `unit` into `folder`, which exists, is empty and is nobody else's to read.
///
/// Errors: the folder can't be written to, or the engine is gone.
pub async fn capture(
    engine: &Engine,
    unit: &Unit,
    folder: &Path,
    include_secrets: bool,
) -> Result<Captured> {
    let mut captured = match &unit.compose {
        Some(compose) => files::capture(unit, compose, folder).await?,
        None => Captured {
            project: None,
            files: Vec::new(),
            gaps: Vec::new(),
            warnings: Vec::new(),
        },
    };
    dumps::write(
        engine,
        unit,
        folder,
        include_secrets,
        &mut captured.warnings,
    )
    .await?;
    Ok(captured)
}
