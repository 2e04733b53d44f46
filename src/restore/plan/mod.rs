//! From a request to what a restore would do, decided before anything is touched.
//!
//! Reading order: [`stages`] (the five of them, on a [`ground`]) → [`decision`] (what is decided) → [`select`] (which data) → [`places`] with [`overlay`] and [`unnamed`] (where to) → [`locate`] (by
//! name) → [`look`] (at the disks: [`names`] and [`power`] say what a recipe may name, then [`target`], [`pool`], [`new_home`], [`pieces`], [`nesting`],
//! [`files`]) → [`advice`]; [`beside`] is what is restored in the same go, [`doors`] are the refusals that the operator opens.
//!
//! Never here: a change to the host.

pub mod advice;
pub mod beside;
pub mod decision;
pub mod doors;
pub mod files;
pub mod ground;
pub mod locate;
pub mod look;
pub mod names;
pub mod nesting;
pub mod new_home;
pub mod overlay;
pub mod pieces;
pub mod places;
pub mod pool;
pub mod power;
pub mod select;
pub mod stages;
pub mod target;
pub mod unnamed;

pub use decision::Plan;
