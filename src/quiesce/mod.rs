//! Stopping containers so that they always come up again.
//!
//! Reading order: [`record`] (what survives our death) → [`stop`] (by level, dependents first) → [`cold`] (the proof
//! that no container writes; [`end`]) → [`start`] (by level, dependencies first; [`find`], [`wait`]) → [`replay`] (what an earlier run left down);
//! [`window`] is all of it around the work of a job.

pub mod cold;
mod end;
mod find;
pub mod record;
pub mod replay;
pub mod start;
pub mod stop;
mod wait;
pub mod window;

pub use cold::Place;
pub use record::{Entry, RecordFile};
pub use replay::Down;
pub use stop::{Quiesced, still_running, stop_all};
pub use window::{Leave, WhileDown, while_down};
