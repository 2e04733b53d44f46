//! Where a program is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::error::{Exit, Failure, Result};

/// For callers such as cron that leave `PATH` short or empty.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The absolute path of `program`; `remedy` says how to get it.
pub fn find(program: &str, remedy: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(std::env::split_paths(DEFAULT_PATH))
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|candidate| {
            candidate
                .metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
        .ok_or_else(|| {
            Failure::new(
                Exit::Program,
                format!("the program `{program}` was not found"),
            )
            .hint(remedy)
            .into()
        })
}
