//! A backup that could not reach the repository stopped nothing. It ends at once, and is made when the repository answers again.
//!
//! Reading order: [`pending`] (such a backup, on the disk) → [`mod@settle`] (what a run leaves of it) → [`mod@look`] (whether it can be made now) → [`timer`]
//! (for the retry timer; [`super::daemon`] does it by itself).
//!
//! Never here: the lock, while the repository is asked. Whoever needs it gets it at once.

mod look;
mod pending;
mod settle;
mod timer;

pub use look::{Look, interval, look};
pub use pending::Pending;
pub use settle::{Operator, settle};
pub use timer::{Start, run, tell_given_up};

#[cfg(test)]
mod testing;
