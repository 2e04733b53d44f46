//! Looks at everything that a backup needs, and says what is wrong with it and what to do.
//!
//! Reading order: [`finding`] (what a check says) → [`mod@examine`] (all checks, at once, each with a time limit) → the checks:
//! [`programs`], [`configuration`], [`containers`] (Docker and what a backup would not save), [`repository`], [`free_space`],
//! [`interrupted`], [`backups`], [`drills`], [`schedule`] with [`pending`], [`messages`], [`hooks`], [`bundle`], [`bundle_place`], [`tailnet`].
//!
//! Never here: a lock that is taken, a file that is written, a container that is touched. It may run beside a backup.

mod backups;
mod bundle;
mod bundle_place;
mod configuration;
mod containers;
mod drills;
mod examine;
mod finding;
mod free_space;
mod hooks;
mod interrupted;
mod messages;
mod pending;
mod programs;
mod repository;
mod schedule;
mod tailnet;

pub use examine::examine;
pub use finding::{Finding, State, verdict};
pub use schedule::{interval, next_run};
