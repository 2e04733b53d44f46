//! `--all`: every unit that a host has points of, one after the other, with one plan and one question. Each of them goes the way of
//! a unit alone; one that fails keeps no other from being restored.
//!
//! Reading order: [`units`] (which ones) → [`survey`] (all plans) with [`super::plan::beside`] (what units have in common) and [`order`] →
//! [`show`] → [`mod@run`] (one after the other) → [`outcome`].

mod order;
mod outcome;
mod run;
mod show;
mod survey;
mod units;

pub use outcome::UnitOutcome;
pub use run::run;
pub use units::Wanted;
