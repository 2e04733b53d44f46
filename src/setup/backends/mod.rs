//! The storage that a repository can be in: the wizard's menu, and the questions of each of its backends.
//!
//! Reading order: [`menu`] → [`answers`] → [`params`] (answers into `kopia_params`) → [`check`] (what may be typed) →
//! [`credentials`] → [`knock`] (whether the storage answers) → one file a backend.
//!
//! Nothing here writes the configuration: [`Answers`] go to whoever does. A secret never becomes part of `kopia_params`.

mod answers;
mod azure;
mod b2;
mod candidates;
mod check;
mod credentials;
mod filesystem;
mod gcs;
mod knock;
mod menu;
mod params;
mod s3;
mod sftp;
mod tailscale;

pub use answers::{Answers, Credential, told};
pub use knock::opens;
pub use menu::ask;
