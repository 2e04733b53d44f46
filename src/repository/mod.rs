//! The repository of a configuration: who this host is in it, and with which secrets it is opened.
//!
//! Reading order: [`open`] (Kopia with the settings of the operator) → [`machine`] (the id of this machine) → [`credentials`] (of the storage) →
//! [`password`] (its change, which survives a kill).
//!
//! Never here: which points are kept.

pub mod credentials;
pub mod machine;
mod open;
pub mod password;

pub use open::{Repository, changed_at, identity, is_known};
