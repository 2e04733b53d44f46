//! The only place that talks to Docker's API.
//!
//! Reading order: [`engine`] (the connection) → [`inventory`] (everything on the host, fast; [`follow`] keeps it right) → [`inspect`] (one
//! thing at a time) → [`lifecycle`] (stop, start) → [`events`] (what was started meanwhile) → [`volume`],
//! [`network`], [`create`] (what makes things again), [`change`] → [`image`], [`pull`] with [`login`]; beside them [`mod@neighbours`] (whom a container needs), [`raw`] (what the typed client cannot do), [`cli`] with [`compose_up`]
//! (what the operator would type), [`labelled`] (what was made under one name), [`inside`] (what goes on in a container), [`ids`] (which users containers see), [`json`] and [`errors`] (what a caller can tell apart).
//!
//! No policy here: what is stopped, read or left out is decided elsewhere.

mod change;
pub mod cli;
mod compose_up;
pub mod create;
pub mod engine;
pub mod errors;
pub mod events;
mod follow;
mod ids;
pub mod image;
pub mod inside;
pub mod inspect;
pub mod inventory;
pub mod json;
pub mod labelled;
pub mod lifecycle;
mod login;
mod neighbours;
pub mod network;
mod pull;
mod raw;
#[cfg(test)]
pub mod testing;
pub mod volume;

pub use bollard::models::{
    ContainerInspectResponse, ContainerState, HealthStatusEnum as HealthStatus, Volume,
};

pub use compose_up::ComposeUp;
pub use engine::Engine;
pub use events::Listener;
pub use follow::{Changes, Follower};
pub use image::ImageRecord;
pub use inventory::Inventory;
pub use login::Login;
pub use neighbours::{neighbours, rename_neighbours};
pub use pull::Arrived;
