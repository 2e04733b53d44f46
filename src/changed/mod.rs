//! Reading only what changed: which files of a source are proven to be what an earlier part of a point holds, so that they need not be
//! read again.
//!
//! A source's data is a base, increments and a final part, extracted one over the other. Base and increments are read while services
//! run, the final part while they are down: a walk, and what changed since. The proof is what the kernel says of each file, as it was
//! around the reading; [`proof`] has the rules.
//!
//! Reading order: [`stat`], [`mod@list`], [`scratch`] (what is known of a path, in order, on a disk) → [`clock`], [`lease`], [`session`], [`ground`] (what is asked of the kernel) →
//! [`ahead`], [`mod@walk`] → [`known`], [`index`] with [`paths`] (what the parts hold) → [`look`] (what is new, kept, gone; [`churn`]: what is left for the window) → [`names`] (what each tar reads) → [`stored`] (what tar really wrote) → [`proof`] →
//! [`merge`] (the index with the new part) → [`pass`] (all of it, in order; [`clones`]: what the window need not read itself). [`clean`] says over which restarts an index holds; [`compare`] reads what is proven all the same.
//!
//! Never here: a record of what was read while services were down, or one that rests on belief: what is doubtful is read again.

mod ahead;
pub mod churn;
pub mod clean;
pub mod clock;
pub mod clones;
pub mod compare;
pub mod ground;
pub mod index;
mod known;
mod lease;
mod list;
mod look;
mod merge;
pub mod names;
pub mod pass;
pub mod paths;
mod proof;
mod scratch;
mod session;
mod stat;
mod stored;
#[cfg(test)]
mod tests;
mod walk;

pub use list::below;
pub use look::{Ground, Look};
pub use merge::Left;
pub use scratch::Scratch;
pub use stored::{Contents, Kinds, Torn};
