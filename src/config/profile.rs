//! The profile: it names Kopia's connection and cache, so that two configurations never share them by accident.

use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The profile of a file that is not one of the standard ones: its stem, made a harmless file name.
pub fn of_file(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_string_lossy();
    let name: String = stem
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .collect();
    is_valid(&name).then_some(name)
}

fn is_valid(name: &str) -> bool {
    !name.trim_matches('.').is_empty() && name.len() <= 100 && name.chars().all(is_allowed)
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_valid(&name) {
        return Ok(name);
    }
    Err(D::Error::custom(
        "expected a name of at most 100 letters, digits, `_`, `.` and `-`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_stem_as_a_harmless_file_name() {
        let of = |file: &str| of_file(Path::new(file));
        assert_eq!(of("/srv/nas.json").as_deref(), Some("nas"));
        assert_eq!(of("/srv/my nas/häns.v2.json").as_deref(), Some("h_ns.v2"));
        assert_eq!(of("/srv/...json"), None);
        assert_eq!(of("/"), None);
    }
}
