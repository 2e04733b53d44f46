//! A new password for the repository: in the repository, then where the old one was. Ended at any moment, the repository opens
//! with one of the two, and the next run finds out with which and finishes.
//!
//! Reading order: [`mod@change`] → [`journal`] (what is written down before) → [`mod@settle`] (what a later run makes of it) →
//! [`store`] (where a password is kept).

mod change;
mod journal;
mod settle;
mod store;

pub use change::change;
pub use settle::{Settled, settle};

use crate::base::paths::Paths;
use crate::config::Config;

/// A change was begun, and it is not known yet which password the repository has.
pub fn is_unfinished(paths: &Paths, config: &Config) -> bool {
    journal::Journal::is_there(paths, config)
}
