//! The configuration: which file it is, what it can hold, and what its values mean.
//!
//! Reading order: [`schema`] (every key with its default) → [`value`] (kinds of values) → [`params`] (the backend) →
//! [`load`] (search and read) → [`parse`] (JSON to schema) → [`problem`] (errors) → [`unknown`] → [`password`].
//!
//! Nothing in here writes, asks or prints, and no error repeats a secret.

mod key_path;
mod layout;
mod load;
mod params;
mod parse;
mod password;
mod permissions;
mod problem;
mod profile;
mod renamed;
mod schema;
mod secret;
mod unknown;
mod value;
mod version;

pub use key_path::KeyPath;
pub use load::{Loaded, load, standard_files};
pub use params::{Backend, KopiaParams};
pub use schema::{
    Backup, BindMounts, BindMountsOverride, Config, Docker, Kopia, Logging, Retention,
    RetentionOverride, Spool, UnitConfig, UnitSettings,
};
pub use secret::{MASK, Secret, is_secret_name};
pub use unknown::Unknown;
pub use value::{BindMode, Pattern, SharedVolumes, SpoolSize, Workers};

use std::path::PathBuf;

impl Config {
    /// What Kopia's connection and cache are called.
    pub fn profile(&self) -> &str {
        &self.kopia.profile
    }

    /// Kopia's own cache. Nothing else belongs in there: Kopia deletes it.
    pub fn kopia_cache(&self) -> PathBuf {
        self.kopia.cache_directory.join(&self.kopia.profile)
    }

    /// The backend and its flags; already checked when the file was read.
    pub fn kopia_params(&self) -> &KopiaParams {
        &self.kopia.kopia_params
    }
}
