//! Paths as a recipe keeps them beside its record: `./` in front, a zero byte behind.

use super::list::{is_below, order};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    pub bytes: Vec<u8>,
    pub count: u64,
}

impl Paths {
    pub fn push(&mut self, path: &[u8]) {
        self.bytes.extend_from_slice(path);
        self.bytes.push(0);
        self.count += 1;
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let paths = self.bytes.split(|byte| *byte == 0);
        paths.filter(|path| !path.is_empty())
    }

    /// Of all these in the order of a walk, without what lies below another one.
    pub fn topmost<'a>(all: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut all: Vec<&[u8]> = all.collect();
        all.sort_by(|a, b| order(a, b));
        let mut paths = Self::default();
        let mut last: Option<&[u8]> = None;
        for path in all {
            if last.is_none_or(|last| path != last && !is_below(path, last)) {
                paths.push(path);
                last = Some(path);
            }
        }
        paths
    }
}

impl<'a> FromIterator<&'a [u8]> for Paths {
    fn from_iter<I: IntoIterator<Item = &'a [u8]>>(all: I) -> Self {
        let mut paths = Self::default();
        all.into_iter().for_each(|path| paths.push(path));
        paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_another_one_is_left_out() {
        let all: [&[u8]; 6] = [b"./a-b", b"./a/b", b"./a", b"./c/d", b"./a", b"./c\n"];
        let paths = Paths::topmost(all.into_iter());
        let wanted: [&[u8]; 4] = [b"./a", b"./a-b", b"./c\n", b"./c/d"];
        let found: Vec<&[u8]> = paths.iter().collect();
        let mut sorted = wanted.to_vec();
        sorted.sort_by(|a, b| order(a, b));
        assert_eq!((found, paths.count), (sorted, 4));
    }
}
