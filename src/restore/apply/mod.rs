//! Carries a plan out: everything is extracted beside its target and checked while services run; then they are stopped for as long as a few
//! renames take.
//!
//! Reading order: [`applying`] (the order of it all: [`step`]) → [`extract`], watched by [`space`] → [`window`] (stop, [`crate::swap`], start) →
//! [`outcome`] (what is said of an end that was not good) → [`report`], [`reporter`].

pub mod applying;
mod extract;
pub mod outcome;
pub mod report;
pub mod reporter;
mod space;
pub mod step;
pub mod window;

pub use applying::apply;
