//! Cold backup. [`mod@run`] reads as the run goes; [`mod@unit`] is what happens to one unit, with the window in its middle.
//!
//! Reading order: [`mod@run`] ([`around`]: hooks) → [`mod@choose`], [`pipeline`] → [`mod@survey`], [`plan`] ([`safety_copies`] of restores are not read; [`memory`] is what the last whole
//! point held) → [`stages`], [`mod@unit`] ([`step`], [`recipe`], [`hot`] before the stop, [`sources`], [`mod@read`] into the [`spool`] or [`in_memory`], [`store`], [`turns`], [`saved`]; [`forecast`] says for how long it will be down) → [`commit`], [`proof`] →
//! [`after`] → [`reporter`] ([`events`]); [`tags`] says how it is filed. [`preview`] is all of it up to the plan, [`preview_text`] that for people.
//!
//! Never here: a container that is left down, or a source that is left out without a word.

mod after;
mod around;
mod choose;
mod commit;
mod events;
mod forecast;
pub mod hot;
mod in_memory;
pub mod memory;
mod pipeline;
mod plan;
pub mod preview;
pub mod preview_text;
mod proof;
mod read;
mod recipe;
mod reporter;
mod run;
mod safety_copies;
mod saved;
mod sources;
mod spool;
mod stages;
mod step;
mod store;
mod survey;
mod tags;
mod turns;
mod unit;

pub use choose::{LeftOut, choose};
pub use run::{Asked, run};
pub use survey::survey;
