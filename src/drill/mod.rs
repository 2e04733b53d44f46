//! Does it come back? A point is restored as a project of its own, booted where it can touch nothing but itself, looked at, and removed.
//!
//! Reading order: [`request`] (what is wanted) → [`mod@run`] (the order of it all) with [`record`] (so that everything goes, also after a kill:
//! [`mod@remove`]) → [`saved_files`] and [`isolate`] (what is booted) with [`members`], [`images`], [`places`] and [`resources`] (whether it can be) → [`data`]
//! (what the point holds) → [`boot`] (until it is healthy) with [`probe`] and [`mask`] → [`report`]; [`due`] is whose turn it is.
//!
//! Never here: anything of the original that is written to, stopped or attached to; a way out of the copy.

mod boot;
mod data;
mod due;
mod images;
mod isolate;
mod mask;
mod members;
mod places;
mod probe;
mod record;
mod remove;
mod report;
mod request;
mod resources;
mod run;
mod saved_files;

pub use due::{is_due, next};
pub use record::{Record, kept};
pub use remove::{left_over, remove, remove_killed};
pub use report::report_text;
pub use request::Request;
pub use run::run;
