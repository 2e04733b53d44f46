//! From what compose or Docker says of the services of a unit to a compose project that cannot touch anything but itself: pure, and made
//! from a list of keys that are allowed. What is on no list is left out, and told.
//!
//! Reading order: [`given`] (what is known) → [`container`] (a container as compose would have described it) → [`alone`] (which services
//! cannot be booted in isolation) → [`project`] (all of it), with [`service`], [`mounts`], [`networks`], [`files`] (secrets and configs) and
//! [`labels`] → [`made`] (whether that is what Docker made).
//!
//! Never here: a key that was not looked at, and a look at the disk.

mod alone;
mod container;
mod files;
mod given;
mod labels;
pub mod made;
mod mounts;
mod networks;
mod project;
mod service;
#[cfg(test)]
mod tests;

pub use alone::left_out;
pub use container::config_of;
pub use given::{Given, Placed, Wanted};
pub use project::{Booting, Isolated, isolate};
