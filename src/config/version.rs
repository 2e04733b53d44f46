//! The version of the format.

use super::schema::VERSION;

/// What this program reads.
const MAJOR: u64 = 3;

/// `Ok` holds a warning when `version` is one that is read, but not ours. `Err` says what was expected.
pub fn check(version: &str) -> Result<Option<String>, String> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    match numbers.as_deref().and_then(<[u64]>::first) {
        None => Err(format!("expected a version such as \"{VERSION}\"")),
        Some(&major) if major > MAJOR => Err(format!(
            "expected a version of this program's format ({MAJOR}.x): a newer program, or another one, made this file"
        )),
        Some(&MAJOR) => Ok(None),
        Some(_) => Ok(Some(format!(
            "`version` is {version}: the file is read as {VERSION}, in which keys may have other names"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_3_is_read_older_ones_are_warned_about_newer_ones_refused() {
        assert_eq!(check("3.0"), Ok(None));
        assert_eq!(check("3.14.1"), Ok(None));
        assert!(check("2.0").unwrap().unwrap().contains("`version` is 2.0"));
        for wrong in ["4.0", "7.9.0", "", "three", "3.x", "-3"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
