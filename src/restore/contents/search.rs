//! Which paths are meant.

use anyhow::Context as _;
use globset::{GlobBuilder, GlobMatcher};

use crate::error::Result;

/// Everything, or what has a text in its path; with `*`, `?` or `[…]` in it a pattern for a name, or for a path.
#[derive(Clone, Debug, Default)]
pub enum Search {
    #[default]
    All,
    Part(String),
    Pattern(GlobMatcher),
}

impl Search {
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim_start_matches("./").trim_matches('/');
        if text.is_empty() {
            return Ok(Self::All);
        }
        if !text.contains(['*', '?', '[']) {
            return Ok(Self::Part(text.to_lowercase()));
        }
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .case_insensitive(true)
            .build()
            .with_context(|| format!("`{text}` is not a valid pattern"))?;
        Ok(Self::Pattern(glob.compile_matcher()))
    }

    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Part(part) => path.to_lowercase().contains(part),
            Self::Pattern(pattern) => {
                let name = path.rsplit('/').next().unwrap_or(path);
                pattern.is_match(path) || pattern.is_match(name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_found() {
        let found = |search: &str, path: &str| Search::parse(search).unwrap().matches(path);
        for (search, path) in [
            ("", "a"),
            ("/", "a"),
            ("report", "docs/Report 2026.odt"),
            ("./docs/", "docs/x"),
            ("docs/re", "docs/report"),
            ("*.odt", "docs/x.ODT"),
            ("docs/*", "docs/x"),
            ("**/x", "a/b/x"),
        ] {
            assert!(found(search, path), "{search} {path}");
        }
        for (search, path) in [("report", "x"), ("*.odt", "x.pdf"), ("docs/*", "docs/a/b")] {
            assert!(!found(search, path), "{search} {path}");
        }
        assert!(Search::parse("[").is_err());
    }
}
