//! What the repository has: restore points, whichever tool made them.
//!
//! Reading order: [`point`] (from Kopia's snapshots to points) → [`whose`] (which of them are this machine's) → [`choose`] (the one that is meant) →
//! [`recipe`] with [`saved`] and [`recipe_tree`] (what is needed to bring it back) → [`feed`] with [`ahead`] and [`pump`] (its streams, out of
//! Kopia into a program); [`legacy`] for points of the Python tool.
//!
//! Never here: a write into a repository, or to a place that was not given.

pub mod ahead;
pub mod choose;
pub mod feed;
pub mod legacy;
pub mod point;
mod pump;
pub mod recipe;
pub mod recipe_tree;
pub mod saved;
pub mod whose;
