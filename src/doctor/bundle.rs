//! The recovery bundles that lie where the configuration has them.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::finding::Finding;
use crate::base::blocking::aside;
use crate::base::text;
use crate::config::Config;

pub const AREA: &str = "recovery_bundle";

pub async fn check(config: Option<&Config>) -> Vec<Finding> {
    let Some(config) = config else {
        return Vec::new();
    };
    let folder = config.backup.recovery_bundle_path.clone();
    let newest = aside(move || Ok(newest(&folder)));
    let Ok(Some((time, path))) = newest.await else {
        return Vec::new();
    };
    let age = text::age(time, Utc::now());
    vec![Finding::ok(
        AREA,
        format!("the newest is {age} old: `{}`", path.display()),
    )]
}

fn newest(folder: &std::path::Path) -> Option<(DateTime<Utc>, PathBuf)> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("kopi-docka-recovery-") && name.ends_with(".tar.gz.enc")
        })
        .filter_map(|entry| {
            let made = entry.metadata().ok()?.modified().ok()?;
            Some((DateTime::from(made), entry.path()))
        })
        .max()
}
