//! Messages: who is told of a run, and of what is wrong.
//!
//! Reading order: [`cause`] (what can be wrong) → [`ledger`] (what was told to whom) → [`mark`] (the runs that are at work) → [`recipient`] (a target with
//! its secrets) → [`message`] (what it is told) → [`mask`] → [`deliver`] (three tries, side by side, within a time) → [`teller`] → [`run`] (the messages of a run) →
//! [`backup`] (what a backup tells; [`storage`]), [`mod@drill`], [`mod@look`] (what no run tells: that one was killed, that none came) and [`mod@trial`] (`notify --test`).
//!
//! A further cause is a [`What`] and whoever finds it: a kind of run gives it to [`Messages::end`] with its [`run::Ended`], anything else to [`look()`].
//!
//! Never here: a message while services are down, an exit code that changes, or a secret in what is sent, said or logged.

mod backup;
mod cause;
mod deliver;
mod drill;
mod ledger;
mod look;
mod mark;
mod mask;
mod message;
mod recipient;
mod run;
mod storage;
mod teller;
mod trial;

pub use backup::of_backup;
pub use cause::{Cause, Problem, What};
pub use drill::of_drill;
pub use look::look;
pub use mask::Masks;
pub use recipient::check;
pub use run::{Kind, Messages};
pub use trial::{Tried, trial};
