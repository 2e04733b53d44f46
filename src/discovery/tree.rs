//! What is at paths, found by what lies above or below them without a look at all of it: a unit may have thousands of binds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

pub struct Tree<T> {
    /// Paths are ordered by their components, so all below one follow it.
    at: BTreeMap<PathBuf, Vec<T>>,
}

impl<T> Tree<T> {
    pub fn add(&mut self, path: &Path, item: T) {
        match self.at.get_mut(path) {
            Some(items) => items.push(item),
            None => {
                self.at.insert(path.to_owned(), vec![item]);
            }
        }
    }

    /// At `path` and at all that it lies in.
    pub fn around(&self, path: &Path) -> impl Iterator<Item = &T> {
        let places = path.ancestors().filter_map(|place| self.at.get(place));
        places.flatten()
    }

    /// At `path` and at all that lies in it.
    pub fn within(&self, path: &Path) -> impl Iterator<Item = &T> {
        let from = (Bound::Included(path), Bound::Unbounded);
        let following = self.at.range::<Path, _>(from);
        following
            .take_while(move |(place, _)| place.starts_with(path))
            .flat_map(|(_, items)| items)
    }
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            at: BTreeMap::new(),
        }
    }
}

impl<T> FromIterator<(PathBuf, T)> for Tree<T> {
    fn from_iter<I: IntoIterator<Item = (PathBuf, T)>>(all: I) -> Self {
        let mut tree = Self::default();
        for (path, item) in all {
            tree.add(&path, item);
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn around_and_within_are_what_a_look_at_all_would_find() {
        let paths = [
            "/", "/a", "/a-b", "/a/b", "/a/b", "/a/b-c", "/a/b/c", "/a/bc", "/a.d/b", "/b",
        ];
        let tree: Tree<&str> = paths.iter().map(|path| (path.into(), *path)).collect();
        for path in paths.iter().chain(&["/a/b/c/d", "/c", "/a/"]) {
            let path = Path::new(path);
            let mut around: Vec<&str> = tree.around(path).copied().collect();
            let mut within: Vec<&str> = tree.within(path).copied().collect();
            around.sort_unstable();
            within.sort_unstable();
            let look = |is: &dyn Fn(&Path) -> bool| {
                let mut all: Vec<&str> = paths.into_iter().filter(|p| is(Path::new(p))).collect();
                all.sort_unstable();
                all
            };
            assert_eq!(around, look(&|other| path.starts_with(other)), "{path:?}");
            assert_eq!(within, look(&|other| other.starts_with(path)), "{path:?}");
        }
    }
}
