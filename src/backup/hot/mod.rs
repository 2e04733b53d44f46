//! Before the stop: what of each source is not proven to be what the last point holds is read while services run, so that little is
//! left for the window.
//!
//! Reading order: [`all`] (the sources of a unit), [`whole`] (which are read whole, and why) → [`site`] (where a source is, and where its index) →
//! [`part`] (one stream: `tar`, its headers, kopia) → [`mod@read`] (walk, part, proof) → [`mod@warm`] (what a source has by then, and what the window
//! finds) → [`clones`](mod@clones) (what is read when services run again) → [`writers`] (who has a file open that the window reads). [`ahead`] is a look at all of it, for who only asks.
//!
//! Never here: an error that fails a unit. What does not work out is read whole in the window, and that is said.

mod ahead;
mod all;
mod clones;
mod part;
mod read;
mod site;
mod warm;
mod whole;
pub mod writers;

pub use ahead::{Ahead, look_ahead};
pub use all::{Choice, choose, is_to_be_warmed, warm};
pub use clones::store as store_clones;
pub use site::{Host, KnownSource, index_folder, known};
pub use warm::{Found, Warm};
