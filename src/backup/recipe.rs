//! The recipe of a unit: everything but the data that is needed to build it again.
//!
//! [`capture`] fills a directory, which then becomes part of a snapshot:
//!
//! ```text
//! files/<absolute path>           compose files, `.env`, and what the compose files name
//! docker/containers/<name>.json   `docker inspect`, secrets replaced
//! docker/volumes/<name>.json      `docker volume inspect`, also of volumes whose data is not saved
//! docker/networks/<name>.json     `docker network inspect`
//! docker/images.json              which image each container runs, by id, tags, digests and platform
//! docker/names.json               names of other containers that these name by their ids
//! docker/engine.json              what the host is called, and what it runs by itself
//! documents.json                  all of `docker/` in one file, by path: to read one costs a start of kopia
//! secrets.json                    what was replaced, by container; only when asked for
//! ```
//!
//! Reading order: [`crate::base::yaml`] → [`environment`] → [`interpolate`] → [`references`] (what a compose file names) →
//! [`templates`], [`solve`], [`infer`] (variables that no file gives) → [`copier`], [`context`] (how files are kept) →
//! [`services`] (what was there) → [`project`] (all of it) → [`redact`] → [`dumps`] (the engine's side).
//!
//! A missing or broken file never ends a capture: it is a gap.

mod context;
mod copier;
mod dumps;
mod environment;
mod infer;
mod interpolate;
mod project;
mod redact;
mod references;
mod services;
mod solve;
mod templates;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::Unit;
use crate::model::point::{DirectoryRecord, FileRecord, ProjectRecord};
use crate::model::source::{Gap, GapReason};
use crate::model::unit::ComposeProject;

/// What was put into the directory, and what was not.
#[derive(Debug, Default)]
pub struct Captured {
    /// `None` for a unit that is no compose project.
    pub project: Option<ProjectRecord>,
    /// Each is at `files/<its path>`.
    pub files: Vec<FileRecord>,
    /// In addition to those that discovery found.
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
    /// Above the files; by the end they are in the project's record.
    directories: Vec<DirectoryRecord>,
    /// Values of variables that are redacted in the project's record.
    secrets: BTreeMap<String, String>,
}

/// Writes the recipe of `unit` into `folder`, which exists, is empty and is for root alone. What a project names may be on a file
/// system that does not answer: it is waited for no longer than `patience`. A build context is kept up to `context_limit` bytes.
///
/// Errors: the directory cannot be written to, or the engine is gone.
pub async fn capture(
    engine: &Engine,
    unit: &Unit,
    folder: &Path,
    include_secrets: bool,
    patience: Duration,
    context_limit: u64,
) -> Result<Captured> {
    let mut warnings = Vec::new();
    let inspected = dumps::inspect(engine, unit, &mut warnings).await?;
    let mut captured = match &unit.compose {
        Some(compose) => {
            let captured = project::capture(project::Request {
                unit: unit.clone(),
                inspected: inspected.clone(),
                context_limit,
                folder: folder.to_owned(),
            });
            match tokio::time::timeout(patience, captured).await {
                Ok(captured) => captured?,
                Err(_) => silent(compose, patience),
            }
        }
        None => Captured::default(),
    };
    captured.warnings.extend(warnings);
    dumps::write(
        engine,
        unit,
        folder,
        inspected,
        include_secrets,
        &mut captured,
    )
    .await?;
    Ok(captured)
}

/// The files of a project that could not be looked at in time. The thread that does is left behind.
fn silent(compose: &ComposeProject, patience: Duration) -> Captured {
    let detail = format!(
        "its file system does not answer: the compose files, or what they name, could not be read within {} s",
        patience.as_secs()
    );
    Captured {
        project: Some(ProjectRecord {
            working_dir: compose.working_dir.clone(),
            compose_files: compose.files.clone(),
            env_files: compose.env_files.clone(),
            ..ProjectRecord::default()
        }),
        gaps: vec![Gap {
            what: "the files of the compose project".to_owned(),
            reason: GapReason::Recipe,
            detail,
            is_loss: true,
        }],
        ..Captured::default()
    }
}
