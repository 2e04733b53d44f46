//! A value that must never be seen: not in a log, an error, a dump of a structure, or an answer.

use std::fmt;

/// What is shown in place of a secret. Of constant length, so that it tells nothing.
pub const MASK: &str = "***";

/// Deliberately not `Serialize`: to write one out, code has to call [`Secret::expose`], which is easy to find.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the environment of a child or a file of our own with mode 0600, nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(MASK)
    }
}

/// Whether a key, flag or variable called `name` can be expected to hold a secret. One that names a file does not.
pub fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 7] = [
        "pass",
        "secret",
        "key",
        "token",
        "api",
        "auth",
        "credential",
    ];
    const PLACES: [&str; 5] = ["file", "path", "dir", "directory", "id"];
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['_', '-', '.']).next().unwrap_or_default();
    WORDS.iter().any(|word| name.contains(word))
        && !PLACES.contains(&last)
        && !last.ends_with("file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_its_mask() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "*** *** Some(***)"
        );
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn names_of_secrets_are_told_from_names_of_files() {
        for name in [
            "passwrod_of_repo",
            "API_KEY",
            "token",
            "webhook-auth",
            "secret",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "secret_file",
            "key_path",
            "ssh-keyfile",
            "access_key_id",
            "max_size",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
