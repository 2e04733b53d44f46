//! What an interrupted run left undone comes first, whatever the command: restores are finished or taken back, then what was stopped is
//! started.
//!
//! Reading order: [`mod@bring_up`] (the order of it) → [`restores`] (finishes or undoes what a killed restore left: [`unfinished`] with [`crew`],
//! [`keep_down`], [`late`]) → [`crate::quiesce::replay`] (starts what was stopped) → [`owed`] (what an interrupted `--undo` brings up);
//! [`before_docker`] for the boot.
//!
//! Never here: a new decision. What a journal or a record says is carried out, or taken back.

pub mod before_docker;
mod bring_up;
mod crew;
mod keep_down;
mod late;
mod owed;
mod restores;
mod unfinished;

pub use bring_up::{bring_up, bring_up_all, bring_up_or_tell, catch_up_hooks};
pub use crew::Services;
pub use late::Late;
pub use owed::{Comeback, bring_up_owed};
pub use restores::{replay, undo};
