//! What the operator wants to be done around a backup, on the host or in containers.
//!
//! Reading order: [`hook`] (one that is ready: what is done, and what it is told) → [`chosen`] (those of a run and of a unit, by configuration and
//! labels) → [`program`] (which programs are refused) → [`mod@act`] (does one) → [`owed`] (what has to follow, also after a kill) → [`series`]
//! (several, in order, with what came of them).
//!
//! Never here: a hook that begins or goes on while services are down, a secret in what a hook is told, or an after without its before.

mod act;
mod chosen;
mod hook;
mod owed;
mod program;
mod series;

pub use chosen::{UnitHooks, of_name, of_run, of_unit};
pub use hook::Told;
pub use owed::{Owed, catch_up};
pub use program::check;
pub use series::{Came, Series};
