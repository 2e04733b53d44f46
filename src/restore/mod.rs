//! Bringing restore points back, in place. Everything is extracted beside its target and checked while services run; then
//! they are stopped for as long as a few renames take.
//!
//! Reading order: [`request`] (what is wanted) → [`points`], [`choose`] (which point) → [`session`] (from a request to a
//! [`plan`]: [`recipe`], [`locate`] with [`names`] and [`target`], [`files`], [`users`], [`advice`]) → [`apply`] (the order
//! of it all: [`step`], [`journal`], [`staging`], [`extract`] with [`feed`] and [`pump`], [`window`] with [`swap`], [`outcome`]) →
//! [`report`], [`reporter`]; [`replay`] is for what a killed one left.

mod advice;
mod apply;
pub mod aside;
pub mod choose;
mod extract;
pub mod feed;
mod files;
mod journal;
mod locate;
mod look;
mod names;
mod new_home;
mod outcome;
mod pieces;
mod places;
mod plan;
pub mod points;
mod pump;
pub mod recipe;
pub mod replay;
mod report;
pub mod reporter;
pub mod request;
mod session;
mod staging;
mod step;
mod swap;
mod target;
mod users;
mod window;
pub mod wizard;

pub use apply::{apply, workers};
pub use plan::Plan;
pub use session::Session;
