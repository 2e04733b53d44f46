//! Bringing the unit itself back, after its data: networks, images, the containers, and what is in their way.
//!
//! Nothing that is here is changed or removed: what differs is told. Everything in [`Saved`](crate::points::saved::Saved) was written by a writer of the
//! repository: it goes to Docker as a value, and to a terminal with its control characters escaped.
//!
//! Reading order: [`decision`] (what is decided) → [`plan`] ([`members`], [`networks`] with [`subnet`], [`images`], [`conflicts`] with [`ports`],
//! [`obstacles`] with [`cards`], [`container`] with [`run_line`], [`differences`]; [`relocated`] and [`up_elsewhere`] when it goes elsewhere; [`program`] is
//! what runs now) → [`show`] → [`agree`] (what is asked first) → [`up`] (carries it out, with [`mod@pull`], and [`promise`] that it is what was saved).

mod agree;
mod cards;
mod conflicts;
mod container;
mod decision;
pub mod differences;
pub mod images;
mod members;
mod networks;
mod obstacles;
mod plan;
mod ports;
mod program;
mod promise;
mod pull;
mod relocated;
mod run_line;
mod show;
mod subnet;
mod up;
mod up_elsewhere;

pub use container::{anonymous_volumes, without_given};
pub use decision::{ContainerPlan, Rebuild, Start, start_command};
pub use differences::Difference;
pub use members::Member;
pub use program::program_here;
pub use pull::pull;
pub use show::plan_lines;
pub use up::Rebuilding;
