//! systemd, where it runs: what it is told ([`notify`]), asked to hold back ([`inhibit`]), and asked to do ([`mod@systemctl`], [`mod@outside`]).
//!
//! Never here: what units say. A host without systemd is no error: nothing is sent, held or asked.

pub mod inhibit;
pub mod notify;
mod outside;
mod systemctl;

pub use outside::{end_outside, outside};
pub use systemctl::{asked, is_booted, systemctl};

/// Where the units and drop-ins of an administrator are.
pub const SYSTEM_FOLDER: &str = "/etc/systemd/system";
