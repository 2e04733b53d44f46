//! What is in a bundle.
//!
//! Reading order: [`contents`] (all of it) → [`credentials`] (files and variables of the storage), [`origin`] (what it is of), [`systemd`]
//! (how this host starts its backups), [`kit`] (`recover.sh` and what it reads), [`texts`] (what a reader needs beside it and in it) →
//! [`changed`] (what a bundle lacks by now).

pub mod changed;
pub mod contents;
pub mod credentials;
pub mod kit;
pub mod origin;
mod systemd;
pub mod texts;
