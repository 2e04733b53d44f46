//! A bundle as a file, and the directories that it lies in.
//!
//! Reading order: [`archive`] (one file, with checksums) → [`seal`] (encrypted) → [`name`] → [`shelf`] (where bundles are, and which go),
//! [`mod@newest`] (which one this host has).

pub mod archive;
pub mod name;
pub mod newest;
pub mod seal;
pub mod shelf;
