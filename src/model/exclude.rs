//! The patterns of what is not read, in one dialect for all who ask: tar leaves out exactly what the measuring leaves out.
//!
//! A pattern is matched against the path below the source. It may begin at any component, `*` and `?` also match `/`, and
//! what it matches goes with everything below it. `./x` and `/x` begin at the source itself; `cache/` is `cache`;
//! `**/` at the beginning or between two names is any number of directories, none too; `{a,b}` is one pattern for each;
//! `\` takes the meaning from the next character. The source itself is never matched.
//!
//! Reading order: [`parse`] → [`glob`]. Each becomes one or more globs for fnmatch(3) over the names that tar gives its members (`./a/b`). `*/` before a glob, instead
//! of a match that begins anywhere, keeps `.*` away from the `.` that every name begins with.

mod glob;
mod parse;

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use glob::Glob;
use parse::Alternative;

/// Why a pattern cannot be used, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub &'static str);

/// The patterns of a source, ready to be asked.
#[derive(Debug, Default)]
pub struct Excludes(Vec<Glob>);

impl Excludes {
    /// Patterns that are wrong exclude nothing: they were refused or reported where they came in.
    pub fn new(patterns: &[String]) -> Self {
        let alternatives = patterns.iter().filter_map(|one| parse::parse(one).ok());
        Self(alternatives.flatten().map(|one| one.glob()).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `below`, a path relative to the source, is left out. Ask for its directories first.
    pub fn matches(&self, below: &Path) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let mut name = b"./".to_vec();
        name.extend_from_slice(below.as_os_str().as_bytes());
        self.0.iter().any(|glob| glob.matches(&name))
    }

    /// Whether `below`, or a directory that it is in, is left out. The source itself never is.
    pub fn leave_out(&self, below: &Path) -> bool {
        let parts = below.ancestors();
        let mut parts = parts.filter(|part| !part.as_os_str().is_empty());
        parts.any(|part| self.matches(part))
    }
}

/// What is wrong with `pattern`, if anything.
pub fn check(pattern: &str) -> Result<(), Wrong> {
    parse::parse(pattern).map(|_| ())
}

/// The globs for `tar --anchored --exclude`; none for a pattern that is wrong.
pub fn tar_globs(pattern: &str) -> Vec<String> {
    let alternatives = parse::parse(pattern).unwrap_or_default();
    alternatives.iter().map(Alternative::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_what_tar_is_told() {
        for (pattern, globs) in [
            (".*", &["*/.*"][..]),
            ("*.log", &["*/*.log"]),
            ("cache/", &["*/cache"]),
            ("./cache", &["./cache"]),
            ("/cache/*", &["./cache/*"]),
            ("**/x", &["*/x"]),
            ("./**/x", &["*/x"]),
            ("a/**/b", &["*/a/**/b", "*/a/b"]),
            ("cache/**", &["*/cache/**"]),
            ("{a,b{1,2}}.tmp", &["*/a.tmp", "*/b1.tmp", "*/b2.tmp"]),
            (r"\{a,b\}", &[r"*/\{a,b\}"]),
            ("a,b", &["*/a,b"]),
            ("[!.]*", &["*/[!.]*"]),
            ("[{,}]", &["*/[{,}]"]),
        ] {
            assert_eq!(tar_globs(pattern), globs, "{pattern}");
        }
    }

    #[test]
    fn what_would_match_nothing_or_something_else_is_refused() {
        let many = "{a,b}".repeat(8);
        for pattern in [
            "",
            " ",
            "a\nb",
            "[a",
            "{a",
            "a}",
            r"a\",
            ".",
            "./",
            "/",
            "a//b",
            "../x",
            "a/./b",
            "[z-a]",
            "[ä]",
            "[[:nope:]]",
            "[[=a=]]",
            many.as_str(),
        ] {
            assert!(check(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn neither_the_source_nor_what_has_no_dot_is_a_hidden_file() {
        for pattern in [".*", ".[!.]*", ".[^.]*", ".??*"] {
            let excludes = Excludes::new(&[pattern.to_owned()]);
            let is_out = |path: &str| excludes.matches(Path::new(path));
            assert!(is_out(".env") && is_out("a/.env"), "{pattern}");
            assert!(
                !is_out("") && !is_out("a") && !is_out("a.b/c.d"),
                "{pattern}"
            );
        }
        let excludes = Excludes::new(&[".*.swp".to_owned(), ".*/cache".to_owned()]);
        assert!(!excludes.matches(Path::new("x.swp")));
        assert!(!excludes.matches(Path::new("cache")));
        assert!(excludes.matches(Path::new("a/.x.swp")));
    }
}
