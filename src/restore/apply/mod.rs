//! Carries a plan out: everything is extracted beside its target and checked while services run; then they are stopped for as long as a few
//! renames take.
//!
//! Reading order: [`applying`] (the order of it all: [`step`]) → [`extract`] ([`laying`]: its parts, one over the
//! other; [`clearing`]: what goes before the next one), watched by [`space`] → [`window`] (stop, [`crate::swap`], start) →
//! [`outcome`] (what is said of an end that was not good) → [`report`], [`reporter`].

pub mod applying;
mod clearing;
pub mod extract;
mod laying;
pub mod outcome;
pub mod report;
pub mod reporter;
pub mod space;
pub mod step;
pub mod window;

pub use applying::apply;
