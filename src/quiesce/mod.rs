//! Stopping containers so that they always come up again.
//!
//! Reading order: [`record`] (what survives our death) → [`stop`] (by level, dependents first) → [`cold`] (the proof
//! that nobody writes) → [`start`] (by level, dependencies first) → [`replay`] (what an earlier run left down).

pub mod cold;
pub mod record;
pub mod replay;
pub mod start;
pub mod stop;

pub use record::{Entry, RecordFile};
pub use stop::{Quiesced, stop_all};
