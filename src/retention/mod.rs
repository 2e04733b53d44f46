//! Which restore points go, and their end. Decided on whole points and never on single snapshots: Kopia's own expiry would
//! drop a volume and keep its sibling, so its policy for our sources keeps everything.
//!
//! Reading order: [`rules`] (which of a row of times are kept) → [`own`] (which points are ours) → [`decide`] (which points go) → [`to_delete`] (which snapshots
//! those are) → [`run`] (asks, decides, deletes) → [`maintenance`] (Kopia frees the space).
//!
//! Never here: a point of another host, machine or profile or of the Python tool, and never the newest whole point of a unit.

mod decide;
pub mod maintenance;
mod own;
mod rules;
mod run;
mod to_delete;

pub use run::{Outlook, Scope, apply, look};
