//! A bundle on a new host, as `recover.sh` in it does without this program.
//!
//! Reading order: [`reach`] (what goes where, and the proof of the connection) → [`place`] (a file, put where it was).
//!
//! Never here: a change to the host before the repository has answered.

pub mod place;
pub mod reach;
