//! Kopia exits with 1 whatever happens; its words on stderr are the only difference. They are read here and nowhere else.
//!
//! Reading order: [`judge`] (the error for one that ended badly) → [`mod@cause`] (what its words mean) → [`sentence`] (what we say then, and what to do about it).

mod cause;
mod judge;
mod sentence;

pub use cause::{Cause, cause};
#[cfg(test)]
pub use judge::ended;
pub use judge::{Killed, cause_of, of, stuck, unanswered};
