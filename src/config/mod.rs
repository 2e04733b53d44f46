//! The configuration: which file it is, what it can hold, and what its values mean.
//!
//! Reading order: [`schema`] (every key with its default) → [`value`] (kinds of values) → [`params`] (the backend) →
//! [`mod@load`] (search and read: [`layout`], [`permissions`], [`profile`]) → [`version`], [`renamed`] → [`parse`] (JSON to schema; [`key_path`]) → [`problem`] (errors) → [`unknown`] → [`password`] → [`store`]
//! (what is written back) → [`import`] (files of earlier versions); [`mod@reference`] is for who writes one.
//!
//! Nothing in here writes a file, asks or prints, and no error repeats a secret.

pub mod import;
mod key_path;
mod layout;
mod load;
mod params;
mod parse;
mod password;
mod permissions;
mod problem;
mod profile;
pub mod reference;
mod renamed;
mod schema;
mod store;
mod unknown;
mod value;
mod version;

pub use load::{Loaded, SYSTEM_FILE, check, is_any, load, profile_at, target};
pub use params::{Backend, KopiaParams};
pub use password::{
    check_new as check_new_password, read_file as read_password_file, read_secret_file,
};
pub use permissions::{Caller, check_secret};
pub use schema::{Config, Hook, Logging, Probe, Retention, Target};
pub use store::{
    document_of, forget_host, new_document, renew_bundles, set_password, set_repository, text_of,
};
pub use value::{
    Address, BindMode, HookFailure, HookWhen, LogLevel, MailTls, MessageType, MessageWhen, Percent,
    ReadMode, SharedVolumes, SpoolSize, parse_duration,
};

use std::path::PathBuf;

impl Config {
    /// What Kopia's connection and cache are called.
    pub fn profile(&self) -> &str {
        &self.kopia.profile
    }

    /// Whether a repository in `params` would lie where one must not be.
    pub fn check_storage(&self, params: KopiaParams) -> Result<(), String> {
        let mut config = self.clone();
        config.kopia.kopia_params = params;
        layout::check(&config).map_err(|(key, why)| format!("`{key}` {why}"))
    }

    /// Kopia's own cache. Nothing else belongs in there: Kopia deletes it.
    pub fn kopia_cache(&self) -> PathBuf {
        self.kopia.cache_directory.join(&self.kopia.profile)
    }
}
