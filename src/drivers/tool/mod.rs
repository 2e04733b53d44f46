//! The only place that spawns. Every child has its own process group, an explicit environment, a drained and
//! bounded stderr, and dies with its handle.
//!
//! Reading order: [`spec`] (what to run) → [`child`] (a running one) → [`stderr`] (what it says) → [`meter`] (what it moves) →
//! [`mod@run`] (to the end, with a deadline) → [`mod@uninterrupted`] (to its own end) → [`mod@foreground`] (on the operator's terminal) →
//! [`mod@pipe`] → [`mod@find`]; [`logfmt`] (what it says, without time and level).

mod child;
mod find;
mod foreground;
mod logfmt;
mod meter;
mod pipe;
mod run;
mod spec;
mod stderr;
mod uninterrupted;

pub use child::{Child, Ended, Immortal};
pub use find::find;
pub use foreground::foreground;
pub use logfmt::{message, messages};
pub use meter::{Mark, Meter};
pub use pipe::pipe;
#[cfg(test)]
pub use pipe::until_nobody_reads;
pub use run::{Finished, NoAnswer, run, run_to_end};
pub use spec::{Input, Output, Spec};
pub use stderr::Said;
pub use uninterrupted::uninterrupted;
