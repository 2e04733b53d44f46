//! TODO

pub mod docker;
pub mod kopia;
pub mod losses;
pub mod ssh;
pub mod systemd;
pub mod tailscale;
pub mod tar;
pub mod tool;
