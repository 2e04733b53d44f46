//! Which repository it must be. Kopia opens whatever it finds behind a path: an empty disk that was mounted late, or
//! another repository with the same password. The unique id is remembered at `init` and asked for ever after.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::repository::Status;
use crate::error::{Exit, Failure, Result};

/// The file that remembers the repository of one profile.
#[derive(Clone, Debug)]
pub struct Identity {
    file: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    unique_id: String,
    /// The storage arguments, without secrets, at the last `init`.
    location: String,
    /// The compression of the policy that was last imported.
    #[serde(default)]
    compression: String,
}

impl Identity {
    pub fn of_profile(repositories: &Path, profile_name: &str) -> Self {
        Self {
            file: repositories.join(format!("{profile_name}.json")),
        }
    }

    fn load(&self) -> Result<Option<Remembered>> {
        match std::fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!(
                    "`{}` is damaged; run `kopi-docka init` after removing it",
                    self.file.display()
                )
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("`{}` can't be read", self.file.display()))
            }
        }
    }

    pub(super) fn remember(
        &self,
        location: &str,
        compression: &str,
        status: &Status,
    ) -> Result<()> {
        self.save(&Remembered {
            unique_id: status.unique_id.clone(),
            location: location.to_owned(),
            compression: compression.to_owned(),
        })
    }

    fn save(&self, remembered: &Remembered) -> Result<()> {
        crate::state::write(&self.file, &serde_json::to_vec_pretty(remembered)?)
    }

    /// Whether the policy in the repository was imported with `compression`.
    pub(super) fn has_compression(&self, compression: &str) -> Result<bool> {
        Ok(self
            .load()?
            .is_some_and(|known| known.compression == compression))
    }

    pub(super) fn set_compression(&self, compression: &str) -> Result<()> {
        match self.load()? {
            Some(known) => self.save(&Remembered {
                compression: compression.to_owned(),
                ..known
            }),
            None => Ok(()),
        }
    }

    /// For every use: it is the repository of the last `init`.
    pub(super) fn check(&self, status: &Status) -> Result<()> {
        match self.load()? {
            None => Err(Failure::new(
                Exit::NoRepository,
                "this host is connected to a repository, but not by `kopi-docka init`",
            )
            .hint("run `kopi-docka init`")
            .into()),
            Some(known) if known.unique_id == status.unique_id => Ok(()),
            Some(known) => Err(swapped(&known, status)),
        }
    }

    /// For `init` on empty storage: nothing was there before.
    pub(super) fn allow_creation(&self, location: &str) -> Result<()> {
        match self.load()? {
            Some(known) if known.location == location => Err(Failure::new(
                Exit::NoRepository,
                "the storage is empty, but this host had a repository there",
            )
            .hint("check that the disk is mounted and that nobody moved the repository")
            .hint("to begin a new repository there, run `kopi-docka init --accept-new-repository`")
            .into()),
            _ => Ok(()),
        }
    }

    /// For `init` on storage that has a repository: it is the one that was there, or the place is another one.
    pub(super) fn allow_connection(&self, location: &str, status: &Status) -> Result<()> {
        match self.load()? {
            Some(known) if known.location == location && known.unique_id != status.unique_id => {
                Err(swapped(&known, status))
            }
            _ => Ok(()),
        }
    }
}

fn swapped(known: &Remembered, status: &Status) -> anyhow::Error {
    Failure::new(
        Exit::NoRepository,
        format!(
            "another repository is in the place of ours: expected {}, found {}",
            short(&known.unique_id),
            short(&status.unique_id)
        ),
    )
    .hint(
        "check that the right disk is mounted and that `kopia.kopia_params` names the right place",
    )
    .hint("to use the repository that is there now, run `kopi-docka init --accept-new-repository`")
    .into()
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
