//! The programs that we need: which are there, what brings the others on this distribution, and running that.
//!
//! Reading order: [`distribution`] (which one this is) → [`mod@look`] (what is there and what is missing) → [`mod@plan`] (the exact commands) →
//! [`kopia_key`] (whose packages we trust) → [`mod@install`] (ask, run, look again) → [`mod@guide`] (for people who do it by hand).
//!
//! Never here: a script from the network that runs, or a package of an unsigned repository.

mod distribution;
mod guide;
mod install;
mod kopia_key;
mod look;
mod plan;

pub use distribution::Distribution;
pub use guide::guide;
pub use install::{Assent, indented, install, of_this_host};
pub use look::{Dependency, Found, State, look, missing};
pub use plan::{Step, plan};
