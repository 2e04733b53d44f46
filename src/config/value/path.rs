//! Paths. A relative one would depend on where the program was started, and systemd starts it elsewhere than a
//! shell does: so they are absolute, or below the home directory (`~/`).

use std::path::{Path, PathBuf};

use serde::Deserializer;
use serde_json::Value;

use super::{read, read_or_null};

const EXPECTED: &str = "an absolute path, or one that starts with `~/`";

pub fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    read(deserializer, EXPECTED, rooted)
}

pub fn optional_absolute<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    read_or_null(deserializer, &format!("{EXPECTED}, or null"), rooted)
}

/// Any path, or `null`; the caller knows what a relative one starts from.
pub fn optional_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PathBuf>, D::Error> {
    read_or_null(deserializer, "the path of a file, or null", clean)
}

fn rooted(value: &Value) -> Option<PathBuf> {
    clean(value).filter(|path| path.to_str().is_some_and(starts_at_root))
}

fn clean(value: &Value) -> Option<PathBuf> {
    value
        .as_str()
        .filter(|text| !text.is_empty() && !text.contains('\0'))
        .map(PathBuf::from)
}

pub fn starts_at_root(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("~/")
}

/// `~/x` below `home`; every other path unchanged.
pub fn expand_home(path: &Path, home: &Path) -> PathBuf {
    path.strip_prefix("~")
        .map_or_else(|_| path.to_owned(), |rest| home.join(rest))
}
