//! What a shell asks for while a command is being typed: commands and flags, units, restore points, volumes, hosts.
//!
//! The user waits while typing: it is fast, or it returns nothing. Never here: a message, an error, anything that is written.
//!
//! Reading order: [`mod@answer`] (how a shell asks) → [`words`] (what has been typed) → [`known`] (what there is).

mod answer;
mod known;
mod words;

pub use answer::{VARIABLE, answer};
pub use known::{backup_ids, hosts, saved_units, units_here, volumes};
