//! One source of a point, as it would be when it is restored: later parts stand over earlier ones.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;

use anyhow::Context as _;

use super::line::Entry;
use super::search::Search;
use crate::backup::Tar;
use crate::error::{Exit, Failure, Result};
use crate::kopia::Activity;
use crate::model::point::{Part, PartKind, SourceRecord};
use crate::restore::aside;
use crate::restore::feed::{Feed, said};
use crate::tool::{Output, Spec, pipe};

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
            return self.part(part, say).await;
        }
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for part in &source.parts {
            for deleted in &part.delete {
                let below = format!("{deleted}/");
                entries.retain(|path, _| path != deleted && !path.starts_with(&below));
            }
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            let read = self.part(part, move |entry| {
                let _ = sender.send(entry);
            });
            let collect = async {
                while let Some(entry) = receiver.recv().await {
                    entries.insert(entry.path.clone(), entry);
                }
            };
            let (read, ()) = tokio::join!(read, collect);
            read?;
        }
        entries.into_values().for_each(say);
        Ok(())
    }

    async fn part(&self, part: &Part, say: impl Fn(Entry) + Send + 'static) -> Result<()> {
        if matches!(part.kind, PartKind::Tree(_) | PartKind::File(_)) {
            return Err(Failure::new(
                Exit::UnitsFailed,
                "it is kept as Kopia's own directory, not as an archive",
            )
            .hint(format!(
                "`kopia list --long --recursive {}` lists it",
                part.root
            ))
            .into());
        }
        let names = pipe()?;
        let search = self.search.clone();
        let read = aside::start(move || each_line(names.reader, &search, say))?;
        let tar = list(&self.tar).output(Output::Pipe(names.writer));
        let tar = self.feed.run(part, tar, &Activity::default()).await?;
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
