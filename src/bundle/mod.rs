//! The recovery bundle: one encrypted file with all that a bare host needs to reach its backups.
//!
//! Reading order: [`by_hand`] (one that somebody asks for) → [`mod@make`] (one bundle, from this host) → [`contents`] (what is in it) →
//! [`credentials`] (files and variables of the storage), [`origin`] (what it is of), [`systemd`] (how this host starts its backups) →
//! [`archive`] (one file, with checksums) → [`seal`] (encrypted) → [`texts`] (what a reader needs beside it and in it) → [`shelf`] (where
//! bundles are, and which go) → [`name`], [`password`], [`mod@check`] (whether one is whole), [`mod@newest`] (the last one that is there) →
//! [`page`] (what is kept on paper), [`qr`].
//!
//! Never here: a secret on a disk in the clear, or in the arguments of a program.

mod archive;
mod by_hand;
mod changed;
pub mod check;
mod contents;
mod credentials;
mod kit;
mod make;
mod name;
mod newest;
mod origin;
pub mod page;
pub mod password;
pub mod place;
mod qr;
pub mod reach;
mod renew;
mod seal;
mod shelf;
mod systemd;
mod texts;

pub use by_hand::{Asked, make_by_hand};
pub use changed::changed_since;
pub use contents::SavedUnit;
pub use make::{Wanted, make, refuse_same_disk};
pub use newest::{Kept, Newest, newest, newest_here};
pub use renew::{are_of_interest, open_and_renew, renew, tell_outdated};
