//! The only places that talk to other programs, one each: [`tool`] runs them, [`docker`], [`kopia`], [`messages`], [`ssh`], [`tailscale`], [`systemd`] and
//! [`tar`] know their words; [`losses`] is what tar says of what it could not write.
//!
//! Never here: what a backup or a restore makes of it, or a question to the operator. A driver knows no other one but [`tool`].

pub mod docker;
pub mod kopia;
pub mod losses;
pub mod messages;
pub mod ssh;
pub mod systemd;
pub mod tailscale;
pub mod tar;
pub mod tool;
