//! For those who would rather do it by hand: [`scripts`] that need neither this program nor its configuration, and the recipe of a point as
//! files ([`recipe_folder`]).
//!
//! Never here: anything that touches what is on the host, beside the directory that was asked for.

pub mod recipe_folder;
pub mod scripts;
