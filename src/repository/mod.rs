//! The repository of a configuration: who this host is in it, and with which secrets it is opened.
//!
//! Reading order: [`open`] (Kopia with the settings of the operator) → [`machine`] (the id of this machine) → [`credentials`] (of the storage) →
//! [`mod@login`] (to its server), [`password`] (its change, which survives a kill); [`peer`] (the machine of a tailnet that holds it), [`site`] (why it fails).
//!
//! Never here: which points are kept.

pub mod credentials;
mod login;
pub mod machine;
mod open;
pub mod password;
pub mod peer;
mod site;

pub use login::login;
pub use open::{Repository, changed_at, identity, is_known};
pub use site::Site;
