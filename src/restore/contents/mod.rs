//! `--list`: what is in a restore point, by name and size. The archives are read from the repository and nothing is written.
//!
//! Reading order: [`mod@run`] (the whole answer) → [`reader`] (one source, part over part) → [`mod@line`] (what tar says of a file) → [`search`].

mod line;
mod reader;
mod run;
mod search;

pub use run::run;
pub use search::Search;
