//! The new password, on the disk before the repository has it.

use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::paths::Paths;
use crate::base::secret::Secret;
use crate::config::Config;
use crate::error::{Exit, Failure, Result};

/// Written with mode 0600, as all state is.
#[derive(Serialize, Deserialize)]
struct Written {
    new_password: String,
    /// The storage of the repository, without secrets.
    location: String,
}

pub struct Journal {
    file: PathBuf,
    location: String,
}

impl Journal {
    /// That of one profile. `location` is where the repository of the configuration is.
    pub fn of(paths: &Paths, config: &Config, location: String) -> Self {
        let name = format!("{}.json", config.profile());
        Self {
            file: paths.password_changes().join(name),
            location,
        }
    }

    /// Whether a change was begun and not finished.
    pub fn is_there(paths: &Paths, config: &Config) -> bool {
        Self::of(paths, config, String::new()).file.exists()
    }

    pub fn write(&self, new: &Secret) -> Result<()> {
        let written = Written {
            new_password: new.expose().to_owned(),
            location: self.location.clone(),
        };
        files::write(&self.file, &serde_json::to_vec(&written)?)
    }

    /// The new password; a failure when the repository that was to get it is not the one of the configuration.
    pub fn read(&self) -> Result<Secret> {
        let bytes =
            std::fs::read(&self.file).with_context(|| format!("cannot read `{}`", self.name()))?;
        // Without the cause, which may repeat what it could not read.
        let written: Option<Written> = serde_json::from_slice(&bytes).ok();
        let written = written.with_context(|| format!("`{}` is damaged", self.name()))?;
        if written.location == self.location {
            return Ok(Secret::new(written.new_password));
        }
        Err(Failure::new(
            Exit::Config,
            format!(
                "a change of the password of `{}` was interrupted, and the configuration names `{}` now",
                written.location, self.location
            ),
        )
        .hint(format!(
            "`{}` holds the password that it was to get; finish it with the configuration of then, or keep that password and remove the file",
            self.name()
        ))
        .into())
    }

    pub fn remove(&self) -> Result<()> {
        files::remove(&self.file)
    }

    /// For errors.
    pub fn name(&self) -> String {
        self.file.display().to_string()
    }
}
