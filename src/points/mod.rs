//! What the repository has: restore points, whichever tool made them.
//!
//! Reading order: [`point`] (from Kopia's snapshots to points) → [`whose`] (which of them are this machine's) → [`choose`] (the one that is meant) →
//! [`recipe`] with [`lists`], [`saved`] and [`recipe_tree`] (what is needed to bring it back) → [`rounds`] (in which order parts are extracted) →
//! [`feed`] with [`ahead`] and [`pump`] (its streams, out of Kopia into a program); [`gated`] for those that a [`gate`] looks at, which may
//! let through what is [`wanted`] alone; [`by_hand`] (the same with Kopia and tar alone);
//! [`legacy`] for points of the Python tool.
//!
//! Never here: a write into a repository, or to a place that was not given.

pub mod ahead;
pub mod by_hand;
pub mod choose;
pub mod feed;
pub mod gate;
pub mod gated;
pub mod legacy;
pub mod lists;
pub mod point;
mod pump;
pub mod recipe;
pub mod recipe_tree;
pub mod rounds;
pub mod saved;
pub mod wanted;
pub mod whose;
