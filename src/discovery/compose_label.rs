//! A label of compose that lists paths, joined with commas. A path may have commas as well, and nothing escapes them: how
//! the list is to be read is told by what is there.

use std::path::{Path, PathBuf};

use super::place::clean;

/// Beyond that many commas the list is read as the plain one that it nearly always is.
const MOST_PIECES: usize = 16;

/// The pieces between the commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    pieces: Vec<String>,
    working_dir: Option<PathBuf>,
}

impl Label {
    /// `value` as the label has it. docker-compose 1.x names files relative to the working directory.
    pub fn new(value: Option<&String>, working_dir: Option<&Path>) -> Self {
        let pieces: Vec<String> = value
            .map_or("", String::as_str)
            .split(',')
            .map(str::to_owned)
            .collect();
        if pieces.iter().all(|piece| piece.trim().is_empty()) {
            return Self::default();
        }
        Self {
            pieces,
            working_dir: working_dir.map(Path::to_owned),
        }
    }

    /// Every path that some reading of it has.
    pub fn all(&self) -> Vec<PathBuf> {
        if self.pieces.len() > MOST_PIECES {
            return self.plain();
        }
        let count = self.pieces.len();
        (0..count)
            .flat_map(|from| (from + 1..=count).map(move |to| (from, to)))
            .filter_map(|(from, to)| self.path(from, to))
            .collect()
    }

    /// The reading that leaves the fewest pieces to paths that are missing; of equal ones the one with the most paths.
    pub fn read(&self, is_there: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let count = self.pieces.len();
        if count > MOST_PIECES {
            return self.plain();
        }
        // For the pieces from each one on: how many of them are of no path that is there, and the paths. Filled from the end.
        let mut best: Vec<(usize, Vec<PathBuf>)> = vec![(0, Vec::new())];
        for from in (0..count).rev() {
            let mut here: Option<(usize, Vec<PathBuf>)> = None;
            for to in from + 1..=count {
                let Some((missing, rest)) = best.get(count - to) else {
                    continue;
                };
                let (mut missing, mut paths) = (*missing, rest.clone());
                if let Some(path) = self.path(from, to) {
                    // One that is missing explains none of its pieces.
                    missing += if is_there(&path) { 0 } else { to - from };
                    paths.insert(0, path);
                }
                let is_better = here.as_ref().is_none_or(|(fewest, most)| {
                    (missing, std::cmp::Reverse(paths.len()))
                        < (*fewest, std::cmp::Reverse(most.len()))
                });
                if is_better {
                    here = Some((missing, paths));
                }
            }
            best.push(here.unwrap_or_default());
        }
        best.pop().map(|(_, paths)| paths).unwrap_or_default()
    }

    fn plain(&self) -> Vec<PathBuf> {
        (0..self.pieces.len())
            .filter_map(|at| self.path(at, at + 1))
            .collect()
    }

    /// The pieces `from..to` as one path; `None` for nothing but blanks.
    fn path(&self, from: usize, to: usize) -> Option<PathBuf> {
        let text = self.pieces.get(from..to)?.join(",");
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        Some(match &self.working_dir {
            Some(working_dir) => clean(&working_dir.join(text)),
            None => PathBuf::from(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str, there: &[&str]) -> Vec<String> {
        let label = Label::new(Some(&value.to_owned()), Some(Path::new("/w")));
        let paths = label.read(|path| there.contains(&path.to_str().unwrap()));
        for path in &paths {
            assert!(label.all().contains(path), "{path:?}");
        }
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn commas_are_read_as_what_is_there_has_them() {
        assert_eq!(read("/a/x.yml, b.yml", &[]), ["/a/x.yml", "/w/b.yml"]);
        assert_eq!(read("/a,b/x.yml", &["/a,b/x.yml"]), ["/a,b/x.yml"]);
        assert_eq!(
            read(
                "/a,b/x.yml,/a,b/y, z.yml,/c.yml",
                &["/a,b/x.yml", "/a,b/y, z.yml"]
            ),
            ["/a,b/x.yml", "/a,b/y, z.yml", "/c.yml"]
        );
        assert_eq!(read(" , ", &[]), Vec::<String>::new());
        let many = vec!["/x"; 40].join(",");
        assert_eq!(read(&many, &[]).len(), 40);
    }
}
