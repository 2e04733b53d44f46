//! One source of a point, as it would be when it is restored: later parts stand over earlier ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::Context as _;

use super::line::Entry;
use super::search::Search;
use crate::base::activity::Activity;
use crate::base::blocking;
use crate::drivers::tar::Tar;
use crate::drivers::tool::{Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::model::point::{Lists, Part, PartKind, SourceRecord};
use crate::points::feed::{Feed, said};
use crate::points::legacy::Tree;

pub struct Reader {
    pub feed: Feed,
    pub tar: Tar,
    pub search: Search,
}

impl Reader {
    /// Calls `say` with every path of `source` that is searched for; while it is read where there is one part alone.
    pub async fn source(
        &self,
        source: &SourceRecord,
        say: impl Fn(Entry) + Clone + Send + 'static,
    ) -> Result<()> {
        if let [part] = source.parts.as_slice() {
            return self.part(source, part, say).await;
        }
        let mut entries = Entries::default();
        for part in &source.parts {
            let lists = part.lists()?;
            entries.delete(&lists);
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            let read = self.part(source, part, move |entry| {
                let _ = sender.send(entry);
            });
            let collect = async {
                while let Some(entry) = receiver.recv().await {
                    entries.0.insert(entry.name.clone(), entry);
                }
            };
            let (read, ()) = tokio::join!(read, collect);
            read?;
        }
        entries.0.into_values().for_each(say);
        Ok(())
    }

    async fn part(
        &self,
        source: &SourceRecord,
        part: &Part,
        say: impl Fn(Entry) + Send + 'static,
    ) -> Result<()> {
        match part.kind {
            PartKind::Tree(_) => return self.tree(part, say).await,
            PartKind::File(attributes) => {
                let name = source.read_from.file_name().unwrap_or_default();
                let file = Entry::of_file(&name.to_string_lossy(), part.bytes, &attributes);
                if self.search.matches(&file.path) {
                    say(file);
                }
                return Ok(());
            }
            _ => {}
        }
        let names = pipe()?;
        let search = self.search.clone();
        let read = blocking::start(move || each_line(names.reader, &search, say))?;
        let tar = list(&self.tar).output(Output::Pipe(names.writer));
        let tar = self.feed.run(part, None, tar, &Activity::default()).await?;
        read.await.context("a thread ended in a panic")??;
        if tar.stderr.is_empty() {
            return Ok(());
        }
        Err(
            Failure::new(Exit::UnitsFailed, "its archive is not as it should be")
                .caused_by(said(&tar))
                .into(),
        )
    }

    /// Of a directory as Kopia keeps one.
    async fn tree(&self, part: &Part, say: impl Fn(Entry) + Send + 'static) -> Result<()> {
        let alive = Activity::default();
        let read = Tree::read(&self.feed.kopia, &part.root, &alive);
        let tree = self.feed.shutdown.cut("the list", read).await?;
        let search = self.search.clone();
        let walk = blocking::start(move || {
            tree.each(&mut |path, entry| {
                if search.matches(path) {
                    say(Entry::of_kopia(path, entry));
                }
            })
        })?;
        walk.await.context("a thread ended in a panic")?
    }
}

/// What is there after some of the parts, by names as they are: two that are no text may look the same.
#[derive(Default)]
struct Entries(BTreeMap<Vec<u8>, Entry>);

impl Entries {
    /// With all that is below.
    fn delete(&mut self, lists: &Lists) {
        for deleted in &lists.deleted {
            let name = deleted.as_os_str().as_bytes();
            self.0.remove(name);
            let below = [name, b"/"].concat();
            let from_there = self.0.range(below.clone()..).map(|(name, _)| name);
            let gone: Vec<Vec<u8>> = from_there
                .take_while(|name| name.starts_with(&below))
                .cloned()
                .collect();
            for name in gone {
                self.0.remove(&name);
            }
        }
    }
}

fn each_line(names: OwnedFd, search: &Search, say: impl Fn(Entry)) -> Result<()> {
    let mut names = BufReader::new(File::from(names));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = names.read_until(b'\n', &mut line);
        if read.context("tar's list cannot be read")? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        if let Some(entry) = Entry::parse(&line)
            && search.matches(&entry.path)
        {
            say(entry);
        }
    }
}

fn list(tar: &Tar) -> Spec {
    Spec::new(tar.program())
        .args(["--list", "--file=-", "--verbose", "--numeric-owner"])
        .args(["--full-time", "--utc", "--quoting-style=escape"])
        .arg("--warning=no-timestamp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_deleted_with_what_is_below_and_nothing_else_is() {
        let mut entries = Entries::default();
        for line in ["a", "a/b", "a/b/c", "a.", "a0", "x\\377", "x\\376"] {
            let line = format!("-rw-r--r-- 0/0 1 2026-01-02 03:04:05 ./{line}");
            let entry = Entry::parse(line.as_bytes()).unwrap();
            entries.0.insert(entry.name.clone(), entry);
        }
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"x\xff");
        entries.delete(&Lists {
            deleted: vec!["a".into(), odd.into(), "never".into()],
            ..Lists::default()
        });
        let left: Vec<&[u8]> = entries.0.keys().map(|name| &**name).collect();
        assert_eq!(left, [&b"a."[..], b"a0", b"x\xfe"]);
    }
}
