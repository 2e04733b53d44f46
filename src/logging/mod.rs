//! Diagnostics: on stderr for now, in the log file for later.
//!
//! Reading order: [`log`] (what goes where) → [`mod@line`] (what a record looks like) → [`mod@file`] (appending and rotating) → [`writer`] (on a thread of its own), [`mod@tail`] (the end of it, kept for a message);
//! [`journal`] takes the place of stderr under systemd.
//! Nothing in here can fail a run, or keep one waiting while services are down.

mod file;
pub mod journal;
mod line;
mod log;
mod tail;
mod writer;

pub use log::{FILE, JOURNAL, Log, Options, init, note_error, note_said, note_warning};
pub use tail::{keep_tail, tail};
