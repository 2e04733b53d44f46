//! What planning may look at. Nothing of it changes anything.

use std::path::PathBuf;

use super::beside::Beside;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::Rules;
use crate::drivers::docker::Engine;
use crate::repository::Repository;

pub struct Ground<'a> {
    pub cx: &'a Context,
    pub config: Config,
    pub rules: Rules,
    pub engine: Engine,
    /// Where Docker keeps what is its own.
    pub docker_root: PathBuf,
    pub repository: Repository,
    /// What is restored in the same go.
    pub beside: Beside,
}
