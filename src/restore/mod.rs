//! Bringing restore points back, in place. Everything is extracted beside its target and checked while services run; then
//! they are stopped for as long as a few renames take.
//!
//! Reading order: [`request`] (what is wanted, where to, with [`doors`]) or [`wizard`] (asks for it) → [`points`], [`choose`] (which point) →
//! [`session`] (from a request to a [`plan`]: [`recipe`], [`places`] with [`overlay`] and [`unnamed`], [`locate`] by name, [`look`] at the disks with [`names`] and [`power`],
//! [`target`], [`pool`], [`new_home`], [`pieces`], [`nesting`], [`files`]; [`users`], [`rebuild`], [`advice`]) → [`apply`] (the order of it all: [`step`], [`journal`], [`staging`]
//! with [`marks`] and [`numbers`], [`extract`] with [`feed`], [`ahead`] and [`pump`], watched by [`space`], [`flush`], [`window`] with [`held`], [`swap`] and, for what can't be renamed, [`within`] with
//! [`holes`] and [`attributes`], [`late`], [`outcome`]) → [`report`], [`reporter`]; [`replay`] is for what a killed one left ([`unfinished`], [`crew`], [`keep_down`], [`changed`],
//! [`before_docker`]), [`safety`] for what every one keeps, [`all`] for every unit of a host, [`contents`] for a look into a point, [`scripts`] and [`recipe_folder`] for those
//! who would rather do it by hand.

mod advice;
pub mod all;
mod apply;
pub mod contents;
pub mod doors;
mod extract;
mod files;
mod locate;
mod look;
mod names;
mod nesting;
mod new_home;
mod outcome;
mod overlay;
mod pieces;
mod places;
mod plan;
mod pool;
mod power;
pub mod rebuild;
pub mod recipe_folder;
mod report;
pub mod reporter;
pub mod request;
pub mod safety;
pub mod scripts;
mod select;
mod session;
mod space;
mod step;
mod target;
pub mod time;
mod unnamed;
mod window;
pub mod wizard;

pub use apply::apply;
pub use plan::Plan;
pub use session::Session;
