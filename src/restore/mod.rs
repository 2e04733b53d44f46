//! Bringing restore points back, in place. Everything is extracted beside its target and checked while services run; then
//! they are stopped for as long as a few renames take.
//!
//! Reading order: [`request`] (what is wanted, and where to) or [`wizard`] (asks for it) → [`session`] (from a request to a [`plan`]) →
//! [`mod@apply`] (carries it out) → [`rebuild`] (networks, images, containers); [`all`] for every unit of a host, [`undo`] for what every restore keeps,
//! [`events`] is what programs hear of it, [`contents`] for a look into a point, [`by_hand`] for those who would rather do it themselves, [`time`] for `--before`.
//!
//! Never here: a target that was decided on without being looked at, or a unit that starts half old and half new.

pub mod all;
pub mod apply;
pub mod by_hand;
pub mod contents;
pub mod events;
pub mod plan;
pub mod rebuild;
pub mod request;
mod session;
pub mod time;
pub mod undo;
pub mod wizard;

pub use apply::apply;
pub use plan::Plan;
pub use session::Session;
