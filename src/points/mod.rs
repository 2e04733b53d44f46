//! TODO

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
