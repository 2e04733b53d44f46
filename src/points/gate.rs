//! What may be in a stream that is extracted over what others left: nothing of it may be written through a link.
//!
//! Tar makes a directory in the place of a link, and is safe within one stream. So whatever a later stream has must lie in directories
//! that the same stream has, and had before.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use super::wanted::Wanted;
use crate::base::text::printable;
use crate::drivers::tar::{Member, MemberKind};
use crate::error::{Exit, Failure, Result};
use crate::model::point::inside;

/// Asked about each member of one stream, before tar gets it.
#[derive(Clone)]
pub struct Gate(Arc<Mutex<State>>);

/// What a stream is extracted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Over nothing.
    First,
    /// Over others.
    Later,
    /// So too, and it has directories alone.
    Folders,
    /// In the directories of another stream, while its neighbours are extracted beside it.
    Shard,
}

struct State {
    rule: Rule,
    names: Names,
    wanted: Option<Arc<Mutex<Wanted>>>,
}

/// What came before in the stream. A hash of each with keys that are drawn: names may be many, and nobody can make two that are the same.
#[derive(Clone, Default)]
struct Names {
    hasher: RandomState,
    directories: Arc<HashSet<u64>>,
    others: HashSet<u64>,
}

impl Gate {
    fn new(rule: Rule, names: Names, wanted: Option<&Arc<Mutex<Wanted>>>) -> Self {
        Self(Arc::new(Mutex::new(State {
            rule,
            names,
            wanted: wanted.map(Arc::clone),
        })))
    }

    /// For the first part of a source; `None` when all of it is wanted.
    pub fn first(wanted: Option<&Arc<Mutex<Wanted>>>) -> Option<Self> {
        wanted.map(|wanted| Self::new(Rule::First, Names::default(), Some(wanted)))
    }

    /// For a part that is extracted over others.
    pub fn later(wanted: Option<&Arc<Mutex<Wanted>>>) -> Self {
        Self::new(Rule::Later, Names::default(), wanted)
    }

    /// For the directories of a group.
    pub fn folders(wanted: Option<&Arc<Mutex<Wanted>>>) -> Self {
        Self::new(Rule::Folders, Names::default(), wanted)
    }

    /// For a part that is extracted beside others, in the directories that went through this one.
    pub fn shard(&self, wanted: Option<&Arc<Mutex<Wanted>>>) -> Self {
        let names = self.lock().names.clone();
        Self::new(Rule::Shard, names, wanted)
    }

    /// Whether tar is to get `member`; an error when nothing of the stream may be extracted any more.
    pub fn lets_through(&self, member: &Member) -> Result<bool> {
        let mut state = self.lock();
        let path = inside(&member.name).ok_or_else(|| {
            let what = "which is not a path inside the source";
            refused(member, what)
        })?;
        state.check(path, member)?;
        let Some(wanted) = &state.wanted else {
            return Ok(true);
        };
        let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(wanted.takes(path, member))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&mut self, path: &[u8], member: &Member) -> Result<()> {
        if self.rule == Rule::First {
            return Ok(());
        }
        let is_directory = member.kind == MemberKind::Directory;
        let parent = path.iter().rposition(|byte| *byte == b'/');
        let parent = parent.and_then(|at| path.get(..at)).unwrap_or_default();
        if !self.names.has_directory(parent) {
            return Err(refused(member, "whose directory does not come before it").into());
        }
        if let MemberKind::HardLink(target) = &member.kind
            && !inside(target).is_some_and(|target| self.names.has_other(target))
        {
            return Err(refused(member, "a link to a file that does not come before it").into());
        }
        match (self.rule, is_directory) {
            (Rule::Folders, false) => {
                return Err(refused(member, "which is not a directory").into());
            }
            (Rule::Shard, true) if !self.names.has_directory(path) => {
                return Err(refused(member, "a directory that its neighbours do not have").into());
            }
            (_, true) if self.names.has_other(path) => {
                return Err(refused(member, "which comes before as something else").into());
            }
            (_, false) if self.names.has_directory(path) => {
                return Err(refused(member, "which comes before as a directory").into());
            }
            _ => {}
        }
        self.names.add(path, is_directory);
        Ok(())
    }
}

impl Names {
    /// The root is there before any of them.
    fn has_directory(&self, path: &[u8]) -> bool {
        path.is_empty() || self.directories.contains(&self.hasher.hash_one(path))
    }

    fn has_other(&self, path: &[u8]) -> bool {
        self.others.contains(&self.hasher.hash_one(path))
    }

    fn add(&mut self, path: &[u8], is_directory: bool) {
        let hash = self.hasher.hash_one(path);
        if !is_directory {
            self.others.insert(hash);
        } else if !self.directories.contains(&hash) {
            Arc::make_mut(&mut self.directories).insert(hash);
        }
    }
}

fn refused(member: &Member, why: &str) -> Failure {
    let name = printable(&String::from_utf8_lossy(&member.name));
    Failure::new(
        Exit::UnitsFailed,
        format!("a later part has `{name}`, {why}: it is not extracted"),
    )
    .hint("take another restore point")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, kind: MemberKind) -> Member {
        Member {
            name: name.into(),
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

    fn folder(name: &str) -> Member {
        member(name, MemberKind::Directory)
    }

    fn file(name: &str) -> Member {
        member(name, MemberKind::File)
    }

    fn hard(name: &str, target: &str) -> Member {
        member(name, MemberKind::HardLink(target.into()))
    }

    fn link(name: &str) -> Member {
        member(name, MemberKind::Symlink("/etc".into()))
    }

    fn passes(gate: &Gate, members: &[Member]) -> bool {
        members
            .iter()
            .all(|member| gate.lets_through(member).is_ok())
    }

    #[test]
    fn a_later_part_has_the_directories_of_its_members_before_them() {
        let good = [
            folder("."),
            file("./a"),
            hard("./b", "./a"),
            folder("./d"),
            folder("./d/e"),
            link("./d/e/l"),
            hard("./d/e/m", "./d/e/l"),
            file("./d/z"),
        ];
        assert!(passes(&Gate::later(None), &good));
        for bad in [
            vec![file("./d/x")],
            vec![file("./d/x"), folder("./d")],
            vec![folder("./d/e"), file("./d/e/x")],
            vec![link("./d"), file("./d/x")],
            vec![file("./d"), folder("./d")],
            vec![folder("./d"), link("./d"), file("./d/x")],
            vec![link(".")],
            vec![hard("./h", "./old")],
            vec![hard("./h", "/etc/passwd")],
            vec![hard("./h", "./h")],
            vec![folder("./d"), hard("./h", "./d")],
            vec![file("/etc/passwd")],
            vec![file("a")],
            vec![file("../x")],
            vec![folder("./d"), file("./d/../../x")],
            vec![file("./")],
            vec![file("")],
        ] {
            assert!(!passes(&Gate::later(None), &bad), "{bad:?}");
        }
    }

    #[test]
    fn shards_lie_in_the_directories_of_their_group() {
        let folders = Gate::folders(None);
        assert!(passes(&folders, &[folder("."), folder("./d")]));
        assert!(!passes(&Gate::folders(None), &[file("./x")]));
        let (one, other) = (folders.shard(None), folders.shard(None));
        assert!(passes(
            &one,
            &[
                file("./a"),
                file("./d/x"),
                folder("./d"),
                hard("./h", "./a")
            ]
        ));
        assert!(passes(&other, &[file("./d/y")]));
        for bad in [
            vec![folder("./e")],
            vec![file("./e/x")],
            vec![link("./d")],
            vec![hard("./d/h", "./a")],
        ] {
            assert!(!passes(&folders.shard(None), &bad), "{bad:?}");
        }
    }
}
