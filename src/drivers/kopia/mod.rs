//! The `kopia` program: typed commands in, typed results out, stderr classified once.
//!
//! Reading order: [`client`] (how every call is made) → [`me`] with [`made`] (as whom) → [`repository`] (status, create, connect) →
//! [`identity`] (which repository it must be) → [`policy`] → [`stream`] (snapshots from stdin; [`snapshot`], [`watch`] for signs of life) →
//! [`manifest`] (snapshots as Kopia lists them) → [`listing`] (all of them) →
//! [`delete`] → [`tree`] (what is in one) → [`fresh`] (read from the storage itself) →
//! [`maintenance`] → [`size`] → [`password`] → [`probe`] (whether a storage answers at all) →
//! [`failure`] (what its words mean).
//!
//! Never here: what a unit or a restore point is.

mod client;
mod delete;
mod failure;
mod fresh;
mod identity;
mod listing;
pub mod made;
mod maintenance;
mod manifest;
mod me;
mod password;
mod policy;
mod probe;
mod repository;
mod size;
mod snapshot;
mod stream;
mod tree;
mod watch;

pub use client::{Kopia, MINIMUM_VERSION, Settings, check_version_of, find, profile_file};
#[cfg(test)]
pub use failure::ended;
pub use failure::{Cause, Killed, cause_of};
pub use identity::{Named, RepositoryIdentity};
pub use maintenance::{Maintenance, Mode};
pub use manifest::{Manifest, clock_skew};
pub use me::Me;
#[cfg(test)]
pub use me::testing;
pub use password::Opens;
pub use probe::Probed;
pub use repository::{Initialized, Status, USER};
pub use size::Size;
pub use snapshot::{Accepted, NewSnapshot};
pub use stream::{STREAM_FILE, Stream};
pub use tree::{Entry, FOLDERS_AT_ONCE, PROCESSES, restored};
pub use watch::Life;
