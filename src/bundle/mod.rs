//! The recovery bundle: one encrypted file with all that a bare host needs to reach its backups.
//!
//! Reading order: [`by_hand`] (one that somebody asks for), [`mod@renew`] (one after each run, or after a change) → [`mod@make`] (one bundle,
//! from this host) → [`content`] (what is in it) → [`mod@file`] (how it is packed and sealed, where it lies) → [`password`], [`paper`] →
//! [`mod@check`] (whether one is whole) → [`new_host`] (what it is for).
//!
//! Never here: a secret on a disk in the clear, or in the arguments of a program.

mod by_hand;
pub mod check;
mod content;
mod file;
mod make;
pub mod new_host;
pub mod paper;
pub mod password;
mod renew;

pub use by_hand::{Asked, make_by_hand};
pub use content::changed::changed_since;
pub use content::contents::SavedUnit;
pub use file::newest::{Kept, Newest, newest, newest_here};
pub use make::refuse_same_disk;
pub use renew::{are_of_interest, open_and_renew, renew, tell_outdated};
