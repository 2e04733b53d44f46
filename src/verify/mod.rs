//! Proving that restore points can be read back: every byte comes out of the storage, and goes nowhere.
//!
//! Reading order: [`choose`] (which points) → [`mod@run`] (the order of it all: [`share`], [`read`], [`seen`], [`verdict`]) →
//! [`report`], [`reporter`]; [`record`] remembers what was found. [`against`] compares with what is on this host.
//!
//! Never here: anything that writes to the repository, or that needs Docker. A verify may take hours, so it does not hold the
//! lock of runs; what a run deletes meanwhile is told from damage by listing again.

mod against;
mod choose;
mod read;
mod record;
mod report;
pub mod reporter;
mod run;
mod seen;
mod share;
mod verdict;

pub use against::{AgainstReport, Comparison, run as run_against};
pub use choose::{Hosts, Request};
pub use record::Memory;
pub use run::run;
