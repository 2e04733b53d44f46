//! `--scripts`: writes scripts that restore a point, for people who want to read first. They need neither this program nor
//! its configuration.
//!
//! Reading order: [`mod@run`] → [`crate::points::recipe_tree`] (the recipe as it was saved) → [`script`] (a head for each source, with
//! the calls of its [`extraction`], and `body.sh`, which is the same in all of them) → [`readme`].
//!
//! Never here: anything that touches what is on the host. Nothing is put in place before it is whole.

mod extraction;
mod readme;
mod run;
mod script;

pub use run::run;
