//! The storage that a repository can be in: the wizard's menu, and the questions of each of its backends.
//!
//! Reading order: [`menu`] → [`answers`] → [`params`] (answers into `kopia_params`) → [`check`] (what may be typed) →
//! [`credentials`] → [`reachability`] (whether the storage answers) → one file a backend.
//!
//! Nothing here writes the configuration: [`Answers`] go to the caller. A secret never becomes part of `kopia_params`.

mod answers;
mod azure;
mod b2;
mod candidates;
mod check;
mod credentials;
mod filesystem;
mod gcs;
mod menu;
mod params;
mod reachability;
mod s3;
mod sftp;
mod tailscale;

pub use answers::{Answers, Credential, told};
pub use menu::ask;
pub use reachability::opens;
pub use sftp::takes_new_keys;
