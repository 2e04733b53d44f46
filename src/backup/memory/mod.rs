//! What the last whole point of a unit held, what this one lacks against it, and what the operator agreed to.
//!
//! Reading order: [`file_system`] with [`uuid`] (where a source is, in words that outlive a reboot) → [`recall`] (what is remembered, in the state
//! directory or in the repository) → [`past`] (what the last points held) → [`compare`] (loss, doubt, change) → [`agree`] (which losses count) → [`left_out`] (how they are
//! told); [`shown`] is for who only looks. `compare` and `agree` are pure.
//!
//! Never here: a decision about what retention removes; it reads what a point says of itself.

mod agree;
pub mod compare;
mod file_system;
pub mod left_out;
mod past;
mod recall;
mod shown;
mod uuid;

pub use past::{Acceptance, Carried, Past, look_back, settle_for_show};
pub use recall::Recalled;
pub use shown::recall_losses;
