//! Globs over absolute host paths, as operators write them.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A set of patterns. One that matches a directory also matches everything below it; one that does not begin at the
/// root, such as `media` or `*/cache`, matches at any depth. `*` stays within a name, `**` does not.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    set: GlobSet,
}

impl Globs {
    /// The patterns that are globs, and a sentence about each one that is not.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> (Self, Vec<String>) {
        let mut builder = GlobSetBuilder::new();
        let mut wrong = Vec::new();
        for pattern in patterns {
            let trimmed = match pattern.trim() {
                "/" => "/",
                other => other.trim_end_matches('/'),
            };
            let anchored = if trimmed.starts_with('/') || trimmed.starts_with("**/") {
                trimmed.to_owned()
            } else {
                format!("**/{}", trimmed.trim_start_matches("./"))
            };
            match GlobBuilder::new(&anchored).literal_separator(true).build() {
                Ok(glob) => {
                    builder.add(glob);
                }
                Err(error) => wrong.push(format!("`{pattern}` is not a glob: {}", error.kind())),
            }
        }
        let set = builder.build().unwrap_or_else(|error| {
            wrong.push(format!("the globs cannot be used together: {error}"));
            GlobSet::empty()
        });
        (Self { set }, wrong)
    }

    pub fn matches(&self, path: &Path) -> bool {
        path.ancestors()
            .filter(|ancestor| *ancestor != Path::new("/") || path == Path::new("/"))
            .any(|ancestor| self.set.is_match(ancestor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let (globs, wrong) = Globs::new([pattern]);
        assert_eq!(wrong, Vec::<String>::new());
        globs.matches(Path::new(path))
    }

    #[test]
    fn a_pattern_matches_a_folder_and_what_is_below_it() {
        assert!(matches("/mnt/media", "/mnt/media"));
        assert!(matches("/mnt/media/", "/mnt/media/films/a"));
        assert!(!matches("/mnt/media", "/mnt/media2"));
        assert!(!matches("/mnt/*", "/mnt"));
        assert!(matches("/mnt/*", "/mnt/a/b"));
        assert!(matches("/mnt/**", "/mnt/a/b"));
    }

    #[test]
    fn a_pattern_without_a_root_matches_at_any_depth() {
        assert!(matches("media", "/srv/app/media"));
        assert!(matches("./media", "/srv/app/media/x"));
        assert!(matches("**/media", "/media"));
        assert!(matches("cache-*", "/srv/cache-1"));
        assert!(!matches("media", "/srv/multimedia"));
    }

    #[test]
    fn a_broken_pattern_is_named_and_the_others_still_work() {
        let (globs, wrong) = Globs::new(["/a/[", "/b"]);
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("`/a/[` is not a glob"), "{wrong:?}");
        assert!(globs.matches(Path::new("/b")));
    }
}
