//! What restores keep of the time before them: to be listed, discarded, or put back.
//!
//! Reading order: [`asked`] (the flags) → [`crate::swap::kept`] (what a restore left) → [`list`] → [`discard`] ([`containers`]) → [`mod@run`] (puts
//! back: [`plan`], then the window of a restore, then [`report`]); [`mod@left_down`].
//!
//! Never here: anything removed or moved that is not proven, by its name and its inode number, to be what the record says.

mod asked;
mod containers;
mod discard;
mod left_down;
mod list;
mod plan;
mod report;
mod run;

pub use asked::{Args, Mode, run};
pub use left_down::{LeftDown, left_down};
pub use plan::Plan as UndoPlan;
pub use report::Report as UndoReport;
