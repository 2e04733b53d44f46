//! Some paths of a source that is made of several parts: which members of each part are taken out for them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::base::text::printable;
use crate::drivers::tar::{Member, MemberKind};
use crate::error::{Exit, Failure, Result};
use crate::model::point::inside;

/// Shared by all parts of the source.
#[derive(Debug, Default)]
pub struct Wanted {
    paths: Vec<Vec<u8>>,
    /// The directories above them, for their modes and owners; the root among them.
    above: BTreeSet<Vec<u8>>,
    /// Names whose content is in a member that is not wanted, which is the value.
    without_content: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Wanted {
    pub fn new(paths: &[PathBuf]) -> Self {
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        Self {
            paths: paths.iter().map(|path| bytes(path)).collect(),
            above: paths
                .iter()
                .flat_map(|path| path.ancestors().skip(1).map(bytes))
                .collect(),
            without_content: BTreeMap::new(),
        }
    }

    /// Whether `member`, which is at `path`, is taken out.
    pub fn takes(&mut self, path: &[u8], member: &Member) -> bool {
        if !self.has(path) {
            return self.above.contains(path);
        }
        match &member.kind {
            MemberKind::HardLink(target) if !inside(target).is_some_and(|to| self.has(to)) => {
                self.without_content.insert(path.to_vec(), target.clone());
                false
            }
            _ => {
                self.without_content.remove(path);
                true
            }
        }
    }

    fn has(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|wanted| is_in(path, wanted))
    }

    /// A later part does not have `path` any more.
    pub fn forget(&mut self, path: &Path) {
        let deleted = path.as_os_str().as_bytes();
        self.without_content.retain(|path, _| !is_in(path, deleted));
    }

    /// Whether it all came, once every part was read.
    pub fn check(&self) -> Result<()> {
        let Some((name, target)) = self.without_content.first_key_value() else {
            return Ok(());
        };
        let text = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes));
        Err(Failure::new(
            Exit::UnitsFailed,
            format!(
                "`{}` is another name (hard link) of `{}`, which was not asked for",
                text(name),
                text(inside(target).unwrap_or(target))
            ),
        )
        .hint("take both: a second `--path` with that name")
        .into())
    }
}

/// Whether `path` is `folder`, or below it.
fn is_in(path: &[u8], folder: &[u8]) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => rest.is_empty() || rest.first() == Some(&b'/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(kind: MemberKind) -> Member {
        Member {
            name: Vec::new(),
            kind,
            size: 0,
            modified: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            has_attributes: false,
            pieces: None,
        }
    }

    #[test]
    fn the_paths_and_the_directories_above_them_are_taken() {
        let mut wanted = Wanted::new(&["a/b".into(), "x".into()]);
        let file = member(MemberKind::File);
        for taken in ["", "a", "a/b", "a/b/c", "x", "x/y"] {
            assert!(wanted.takes(taken.as_bytes(), &file), "{taken}");
        }
        for other in ["a/bc", "a/c", "b", "xy"] {
            assert!(!wanted.takes(other.as_bytes(), &file), "{other}");
        }
    }

    #[test]
    fn a_name_without_its_content_is_told_unless_a_later_part_has_it_or_it_is_gone() {
        let link = |to: &str| member(MemberKind::HardLink(to.into()));
        let mut wanted = Wanted::new(&["d".into()]);
        assert!(wanted.takes(b"d/a", &link("./d/b")));
        wanted.check().unwrap();
        assert!(!wanted.takes(b"d/a", &link("./other")));
        let error = format!("{:#}", wanted.check().unwrap_err());
        assert!(
            error.contains("`d/a`") && error.contains("`other`"),
            "{error}"
        );
        assert!(wanted.takes(b"d/a", &member(MemberKind::File)));
        wanted.check().unwrap();
        assert!(!wanted.takes(b"d/c", &link("./other")));
        wanted.forget(Path::new("d/ca"));
        assert!(wanted.check().is_err());
        wanted.forget(Path::new("d"));
        wanted.check().unwrap();
    }
}
