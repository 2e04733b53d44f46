//! The named ways through refusals that protect. None is open unless the operator says so.

use std::path::PathBuf;

use super::decision::{Plan, check_space, together};
use crate::discovery::place::clean;
use crate::error::{Exit, Failure, Result};

/// The heading of the options that say how.
pub const HOW: &str = "How";

#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "doors")]
pub struct Args {
    /// Restore even if the file system cannot store all ACLs and extended attributes; losses are listed, exit code 3
    #[arg(long, help_heading = HOW)]
    accept_lost_attributes: bool,

    /// Allow restoring to this path, or below it, although it controls this host (can be repeated)
    #[arg(long = "allow-path", value_name = "PATH", help_heading = HOW)]
    allow_paths: Vec<PathBuf>,

    /// Restore even if free space is short
    #[arg(long, help_heading = HOW)]
    ignore_space: bool,
}

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    pub accept_lost_attributes: bool,
    /// With everything below.
    pub allow_paths: Vec<PathBuf>,
    pub ignore_space: bool,
    /// The operator sees the plan and answers before anything is changed.
    pub can_ask: bool,
}

impl Doors {
    /// Refuses `plans` when they do not fit together, unless that is allowed.
    pub fn check_space_of_all<'a>(&self, plans: impl Iterator<Item = &'a Plan>) -> Result<()> {
        if self.ignore_space {
            return Ok(());
        }
        check_space(&together(plans.flat_map(|plan| &plan.space)))
    }

    /// Refuses `plan` when it does not fit, unless that is allowed.
    pub fn check_space(&self, plan: &Plan) -> Result<()> {
        if self.ignore_space {
            return Ok(());
        }
        check_space(&plan.space)
    }
}

impl Args {
    /// `can_ask`: there is a terminal, and no flag has answered beforehand.
    pub fn doors(&self, can_ask: bool) -> Result<Doors> {
        if let Some(path) = self.allow_paths.iter().find(|path| !path.is_absolute()) {
            return Err(Failure::new(
                Exit::Usage,
                format!("`--allow-path {}` is not an absolute path", path.display()),
            )
            .hint("give the path as the plan names it")
            .into());
        }
        Ok(Doors {
            accept_lost_attributes: self.accept_lost_attributes,
            allow_paths: self.allow_paths.iter().map(|path| clean(path)).collect(),
            ignore_space: self.ignore_space,
            can_ask,
        })
    }
}
