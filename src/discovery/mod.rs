//! What is on the host, sorted into units: what is stopped, what is read, and what is not, with the reason.
//!
//! Nothing here changes anything. Questions come first ([`docker`](crate::drivers::docker) and [`host`]), decisions after:
//! they are pure, so an odd host is a recording in a test.
//!
//! Reading order: [`rules`] (what the operator wants) → [`host`], [`mount_table`] (what paths really are) →
//! [`container`], [`labels`], [`database`] (what Docker says) → [`scene`] (all that decisions look at) → [`group`]: [`members`] (who belongs together), [`names`],
//! [`depends`], [`levels`], [`mod@order`] (in which order), [`comeback`] (whether Docker could start it again), [`roles`] (what must go on) →
//! [`sources`]: [`place`] (where data is), [`judge`] (whether it is saved), [`system_paths`], [`policy`], [`globs`], [`writers`], [`tree`],
//! [`nested`] → [`compose`], [`compose_label`] (where its files are) → [`mod@discover`] (all of it) → [`look`] (kept right) → [`mod@select`], [`mod@measure`]
//! with [`holes`], [`limit`], [`disk`] (used by commands).

mod comeback;
pub mod compose;
mod compose_label;
pub mod container;
mod database;
mod depends;
mod discover;
pub mod disk;
pub mod globs;
mod group;
mod holes;
pub mod host;
mod judge;
pub mod labels;
mod levels;
mod limit;
mod look;
pub mod measure;
mod members;
pub mod mount_table;
mod names;
mod nested;
mod order;
pub mod place;
mod policy;
mod roles;
pub mod rules;
mod scene;
mod select;
mod sources;
pub mod system_paths;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod writers;

pub use comeback::{NoWayBack, no_way_back};
pub use discover::{Discovery, OrphanVolume, discover};
pub use limit::{BindLimit, leave_out_too_large};
pub use look::Look;
pub use measure::{Size, measure, measure_up_to};
pub use order::{joiners, order};
pub use rules::Rules;
pub use select::select;
pub use writers::can_write;
