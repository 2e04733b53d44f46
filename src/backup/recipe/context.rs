//! What an image is built from, as far as `.dockerignore` lets the builder see it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::copier::Copier;
use crate::error::Result;

/// Restoring takes a while for each file; a directory with more is a source tree, or data.
const MOST_FILES: usize = 2000;

/// Where the builder looks for patterns.
const IGNORE: &str = ".dockerignore";

/// Copies what is in `folder`, up to `limit` bytes; `saved` are directories that the unit saves anyway. The inner error says
/// why it is not whole.
pub fn copy(
    copier: &mut Copier,
    folder: &Path,
    saved: &[PathBuf],
    limit: u64,
) -> Result<Result<(), String>> {
    // By its real name as well: a source's path has its links resolved.
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if saved
        .iter()
        .any(|saved| folder.starts_with(saved) || real.starts_with(saved))
    {
        return Ok(Ok(()));
    }
    let mut walk = Walk {
        root: folder,
        real,
        saved,
        limit,
        rules: rules(folder),
        files: BTreeSet::new(),
        bytes: 0,
    };
    if let Err(why) = walk.folder(folder) {
        return Ok(Err(why));
    }
    let mut problems = Vec::new();
    for path in &walk.files {
        if let Err(why) = copier.part_of_context(path)? {
            problems.push(format!("`{}`: {why}", path.display()));
        }
    }
    Ok(match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(format!("a file of it is not saved: {one}")),
        [first, rest @ ..] => Err(format!(
            "{} files of it are not saved, such as {first}",
            rest.len() + 1
        )),
    })
}

struct Walk<'a> {
    root: &'a Path,
    real: PathBuf,
    saved: &'a [PathBuf],
    limit: u64,
    rules: Vec<Rule>,
    files: BTreeSet<PathBuf>,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path) -> Result<(), String> {
        let unreadable =
            |error: std::io::Error| format!("cannot read `{}`: {error}", folder.display());
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let metadata = std::fs::symlink_metadata(&path)
                .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
            let below = path.strip_prefix(self.root).unwrap_or(&path);
            let is_out = is_ignored(&self.rules, below);
            if metadata.is_dir() {
                let is_saved =
                    self.saved.contains(&path) || self.saved.contains(&self.real.join(below));
                let may_come_back = self.rules.iter().any(|rule| rule.brings_back);
                if !is_saved && (!is_out || may_come_back) {
                    self.folder(&path)?;
                }
            } else if !is_out && (metadata.is_file() || metadata.is_symlink()) {
                self.bytes = self.bytes.saturating_add(metadata.len());
                if self.bytes > self.limit {
                    return Err(format!(
                        "it is larger than {} (`backup.build_context_max`): of what the image is built from only the Dockerfile is saved",
                        crate::base::text::bytes(self.limit)
                    ));
                }
                self.files.insert(path);
                if self.files.len() > MOST_FILES {
                    return Err(format!(
                        "it has more than {MOST_FILES} files: of what the image is built from only the Dockerfile is saved"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A line of `.dockerignore`.
struct Rule {
    pattern: GlobMatcher,
    brings_back: bool,
}

fn rules(folder: &Path) -> Vec<Rule> {
    let text = std::fs::read(folder.join(IGNORE)).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(rule)
        .collect()
}

fn rule(line: &str) -> Option<Rule> {
    let line = line.trim_start_matches('\u{feff}').trim();
    if line.starts_with('#') {
        return None;
    }
    let (pattern, brings_back) = match line.strip_prefix('!') {
        Some(pattern) => (pattern.trim(), true),
        None => (line, false),
    };
    let pattern = pattern.trim_matches('/');
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    if pattern.is_empty() || pattern == "." {
        return None;
    }
    // One that cannot be read ignores nothing: more is saved.
    let pattern = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .ok()?;
    Some(Rule {
        pattern: pattern.compile_matcher(),
        brings_back,
    })
}

/// The last rule that matches the path, or a directory above it, decides. The builder always gets its own two files.
fn is_ignored(rules: &[Rule], path: &Path) -> bool {
    if path == Path::new(IGNORE) || path == Path::new("Dockerfile") {
        return false;
    }
    rules
        .iter()
        .rev()
        .find(|rule| {
            path.ancestors()
                .filter(|above| !above.as_os_str().is_empty())
                .any(|above| rule.pattern.is_match(above))
        })
        .is_some_and(|rule| !rule.brings_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_builder_does_not_see_is_not_saved() {
        let text =
            "# comment\n/node_modules\n*.log\n**/cache\n!keep.log\nDockerfile\n.dockerignore\n";
        let rules: Vec<Rule> = text.lines().filter_map(rule).collect();
        for (path, expected) in [
            ("node_modules/x/y", true),
            ("sub/node_modules/x", false),
            ("a.log", true),
            ("sub/a.log", false),
            ("keep.log", false),
            ("a/b/cache/c", true),
            ("Dockerfile", false),
            (".dockerignore", false),
            ("src/main.c", false),
        ] {
            assert_eq!(is_ignored(&rules, Path::new(path)), expected, "{path}");
        }
    }
}
