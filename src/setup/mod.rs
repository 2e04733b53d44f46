//! From nothing to the first backup: what `setup` does step by step, and `new-config` alone.
//!
//! Reading order: [`programs`] (what has to be installed) → [`configuration`] (the wizard: [`backends`]) → [`password`] (made, typed, or kept) → [`mod@import`] (from an old file) →
//! [`mod@write`] (checked by the loader itself, then put in place) → [`steps`] (all of `setup`) → [`timer`] → [`bundle`].
//!
//! Until everything is answered nothing is written, so that whatever ends a question leaves nothing behind.

mod backends;
mod bundle;
mod configuration;
mod import;
mod password;
pub mod programs;
mod steps;
mod timer;
mod write;

pub use backends::takes_new_keys;
pub use configuration::new_configuration;
pub use import::import;
pub use steps::{Skipped, run};
pub use write::Written;
