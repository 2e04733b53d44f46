//! Cold backup. [`run`] reads as the run goes, after [`bring_up`]; [`unit`] is what happens to one unit, with the window in its middle.
//!
//! Reading order: [`run`] → [`choose`], [`pipeline`] → [`survey`], [`plan`] → [`unit`] ([`step`], [`recipe`], [`read`] with [`tar`] and [`spool`], [`store`], [`turns`]) →
//! [`commit`] → [`after`] → [`reporter`] ([`events`]); [`tags`] says how it is filed.
//! [`preview`] is all of it up to the plan.

mod after;
mod choose;
mod commit;
mod events;
mod in_memory;
pub mod memory;
mod own;
mod pipeline;
mod plan;
pub mod preview;
pub mod preview_text;
mod proof;
mod read;
mod recipe;
mod reporter;
mod run;
mod saved;
mod spool;
mod step;
mod store;
mod survey;
mod tags;
mod turns;
mod unit;

pub use choose::{LeftOut, choose};
pub use run::run;
pub use survey::survey;
