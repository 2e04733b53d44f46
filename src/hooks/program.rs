//! Which programs are refused: what others can change would be run by root.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;

use crate::config::Config;
use crate::error::{Exit, Failure, Result};

/// An error when a program that a hook names is not there, or is not root's alone. Blocks.
pub fn check(config: &Config) -> Result<()> {
    let programs = config
        .hooks
        .iter()
        .filter_map(|hook| hook.run.as_ref()?.first());
    programs.map(Path::new).try_for_each(check_one)
}

fn check_one(program: &Path) -> Result<()> {
    let shown = program.display();
    let real = program.canonicalize();
    let real = real.with_context(|| format!("the program `{shown}` of a hook is not there"))?;
    let found = real.metadata()?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let writable = |path: &Path| -> Result<bool> {
        let mode = path.metadata()?.mode();
        // Who may put something else in its place, unless only their own files.
        Ok(mode & 0o022 != 0 && mode & 0o1000 == 0)
    };
    let why = if !found.is_file() || found.mode() & 0o111 == 0 {
        "is no program: it cannot be run"
    } else if found.uid() != 0 {
        "does not belong to root"
    } else if writable(&real)? {
        "can be changed by others than its owner"
    } else if writable(folder)? || folder.metadata()?.uid() != 0 {
        "lies in a directory that others can change"
    } else {
        return Ok(());
    };
    Err(Failure::new(
        Exit::Config,
        format!("the program `{shown}` of a hook {why}"),
    )
    .hint(format!(
        "give it to root: `chown root {shown}; chmod 755 {shown}`, in a directory of root"
    ))
    .into())
}
