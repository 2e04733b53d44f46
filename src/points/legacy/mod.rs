//! Restore points that the Python kopi-docka made, in the form that the rest of the restore knows.
//!
//! Reading order: [`members`] (what the snapshots of a point are) → [`mod@judge`] (what a listing can tell of it) →
//! [`mod@translate`] (from its recipe to a record: [`dumps`], [`files`], [`notes`]) → [`tree`] (which names are in a snapshot of
//! plain files) → [`bring`] (those files, into a staging directory) with [`settle`] (they are what the snapshot says).
//!
//! Never here: a word on what this program writes.

mod bring;
mod dumps;
mod files;
mod judge;
mod members;
mod notes;
mod settle;
mod translate;
mod tree;

pub use bring::only_file;
pub use judge::judge;
pub use translate::{Translation, translate};
pub use tree::Tree;
