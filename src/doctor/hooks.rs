//! Whether the programs of hooks can be run, and are root's alone.

use super::finding::Finding;
use crate::base::blocking::aside;
use crate::base::text;
use crate::config::Config;
use crate::hooks;

pub const AREA: &str = "hooks";

/// Nothing is said where there are none. A program that is refused fails every backup.
pub async fn check(config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config.filter(|config| !config.hooks.is_empty()) else {
        return Vec::new();
    };
    let count = text::count(config.hooks.len(), "hook");
    let asked = config.clone();
    match aside(move || hooks::check(&asked)).await {
        Ok(()) => vec![Finding::ok(
            AREA,
            format!("{count}, of programs that are root's alone"),
        )],
        Err(error) => vec![Finding::of_error(AREA, &error)],
    }
}
