//! Unattended: the units that systemd runs us by, and the daemon.
//!
//! Reading order: [`backup`] (a run with what is around it) → [`units`] (rendered from the configuration) → [`install`] (put in place, compared with what is), [`mod@write`] (both)  → [`daemon`] →
//! [`schedule`] (when a backup is due) → [`mod@retry`] (made up for when the repository answers) → [`watchdog`].
//! Nothing in here does a backup in another way than a shell does.

pub mod backup;
pub mod daemon;
pub mod install;
pub mod retry;
mod schedule;
pub mod units;
mod watchdog;
pub mod write;
