//! Bringing restore points back, in place. Everything is extracted beside its target and checked while services run; then
//! they are stopped for as long as a few renames take.
//!
//! Reading order: [`request`] (what is wanted, where to) or [`wizard`] (asks for it) → [`points`], [`choose`] (which point) →
//! [`session`] (from a request to a [`plan`]: [`recipe`], [`places`] with [`overlay`], [`locate`] by name, [`look`] at the disks with [`names`], [`target`],
//! [`new_home`], [`pieces`], [`files`]; [`users`], [`rebuild`], [`advice`]) → [`apply`] (the order of it all: [`step`], [`journal`], [`staging`] with [`marks`],
//! [`extract`] with [`feed`] and [`pump`], [`window`] with [`held`], [`swap`] and, for what can't be renamed, [`within`] and
//! [`attributes`], [`outcome`]) → [`report`], [`reporter`]; [`replay`] is for what a killed one left, [`safety`] for what every one
//! keeps, [`scripts`] and [`recipe_folder`] for those who would rather do it by hand.

mod advice;
mod apply;
pub mod aside;
mod attributes;
pub mod choose;
mod extract;
pub mod feed;
mod files;
mod held;
mod journal;
mod legacy;
mod locate;
mod look;
pub mod marks;
mod names;
mod new_home;
mod outcome;
mod overlay;
mod pieces;
mod places;
mod plan;
pub mod points;
mod pump;
pub mod rebuild;
pub mod recipe;
pub mod recipe_folder;
mod recipe_tree;
pub mod replay;
mod report;
pub mod reporter;
pub mod request;
pub mod safety;
pub mod scripts;
mod session;
mod staging;
mod step;
mod swap;
mod target;
mod users;
mod window;
mod within;
pub mod wizard;

pub use apply::apply;
pub use aside::aside;
pub use plan::Plan;
pub use rebuild::compose_version;
pub use session::Session;
