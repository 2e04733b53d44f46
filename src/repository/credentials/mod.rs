//! The credentials of the storage, which are never in our configuration: the environment, and `/etc/kopi-docka.env`.
//!
//! Reading order: [`names`] (which variables reach Kopia) → [`parse`] (the file, as systemd's `EnvironmentFile=` reads it) →
//! [`mod@environment`] (what Kopia gets) → [`mod@store`] (what the wizard writes).
//!
//! No error in here repeats a value, nor a line that it could not read.

mod environment;
mod names;
mod parse;
mod store;

pub use environment::{environment, of_file};
pub use parse::line;
pub use store::store;
