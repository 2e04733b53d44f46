//! One part: `tar` reads what it is told, its headers are looked at as they pass, and kopia stores it; of a large part several side by
//! side. There is no spool: nothing waits for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backup::run::Run;
use crate::backup::store::Opened;
use crate::backup::tags::Filing;
use crate::base::activity::{Activity, silent_for};
use crate::base::blocking;
use crate::changed::index::IndexedStream;
use crate::changed::names::Names;
use crate::changed::pass::Pass;
use crate::changed::{Contents, Scratch};
use crate::drivers::kopia::Accepted;
use crate::drivers::tar::{self, Record};
use crate::drivers::tool::{Child, Input, Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::model::Source;

use super::site::Site;

/// A part that the repository has.
pub struct Stored {
    pub streams: Vec<IndexedStream>,
    /// What is in each.
    pub contents: Vec<Scratch>,
}

/// What is common to the streams of a part.
struct Reading<'a> {
    run: &'a Run<'a>,
    site: &'a Site,
    source: &'a Source,
    filing: &'a Filing,
    /// Of all together.
    taken: Activity,
    /// One has failed, and nobody needs the others.
    is_over: watch::Sender<bool>,
}

/// While services run they come first.
const NICENESS: i32 = 10;

/// Reads what `pass` lists, side by side, each stream into a snapshot of its own.
pub async fn store(
    run: &Run<'_>,
    site: &Site,
    (source, filing): (&Source, &Filing),
    pass: &Pass,
) -> Result<Stored> {
    let reading = &Reading {
        run,
        site,
        source,
        filing,
        taken: Activity::default(),
        is_over: watch::Sender::new(false),
    };
    let bytes = pass.streams.iter().map(|names| names.bytes).sum();
    let moved = (reading.taken.clone(), reading.taken.clone());
    run.reporter.track(&source.key, bytes, moved);
    let streams = pass.streams.iter().enumerate();
    let mut streams: FuturesUnordered<_> = streams
        .map(|(number, names)| async move {
            let contents = pass.contents(&site.folder, number)?;
            Ok((number, reading.store(names, contents).await?))
        })
        .collect();
    let mut stored = BTreeMap::new();
    let mut failed = None;
    while let Some(result) = streams.next().await {
        match result {
            Ok((number, stream)) => _ = stored.insert(number, stream),
            Err(error) => {
                reading.is_over.send_replace(true);
                failed.get_or_insert(error);
            }
        }
    }
    run.reporter.finished(&source.key);
    match failed {
        Some(error) => Err(error),
        None => {
            let (streams, contents) = stored.into_values().unzip();
            Ok(Stored { streams, contents })
        }
    }
}

impl Reading<'_> {
    async fn store(&self, names: &Names, contents: Contents) -> Result<(IndexedStream, Scratch)> {
        let Self { run, site, .. } = *self;
        let record = Record::of(Some(names.bytes));
        let spec = run
            .tar
            .create_named(&site.place(), names.has_links, self.site.is_sparse, record)
            .input(Input::Pipe(names.file.try_clone()?.into()))
            .niceness(NICENESS);
        let new = self.filing.stream(self.source, names.bytes);
        let opened = tokio::select! {
            biased;
            () = self.over() => Err(given_up()),
            opened = run.shutdown.cut("the run", run.store.open(&new)) => opened,
        };
        let taken = Activity::default();
        let moved = [taken.clone(), self.taken.clone()];
        let read = |sink| read(spec, sink, contents, moved);
        let feeding = Feeding {
            run,
            when: "before the stop",
            taken,
        };
        let given_up = async {
            self.over().await;
            given_up()
        };
        let (accepted, bytes, contents) = feeding.feed(opened?, read, given_up).await?;
        let Accepted { snapshot, root, .. } = accepted;
        let stream = IndexedStream {
            snapshot,
            root,
            bytes,
        };
        Ok((stream, contents))
    }

    /// Resolves when another stream of the part has failed.
    async fn over(&self) {
        let _ = self.is_over.subscribe().wait_for(|is_over| *is_over).await;
    }
}

/// A kopia that takes what is read, without a spool.
pub struct Feeding<'a> {
    pub run: &'a Run<'a>,
    /// `before the stop`
    pub when: &'static str,
    /// What `read` has moved.
    pub taken: Activity,
}

impl Feeding<'_> {
    /// `read` returns the length of the stream, and what else it has to tell. When `given_up` resolves nothing is stored.
    pub async fn feed<T, R: Future<Output = Result<(u64, T)>>>(
        self,
        opened: Opened,
        read: impl FnOnce(Arc<OwnedFd>) -> R,
        given_up: impl Future<Output = anyhow::Error>,
    ) -> Result<(Accepted, u64, T)> {
        let Self { run, when, taken } = self;
        let (mut stream, sink, _slot) = opened.into_parts();
        let sink = Arc::new(sink);
        let since = Instant::now();
        let stall = run.config.backup.stall_timeout;
        let mut given_up = std::pin::pin!(given_up);
        let read = read(Arc::clone(&sink));
        let read = tokio::select! {
            biased;
            () = run.shutdown.asked() => Err(run.store.interrupted()),
            error = &mut given_up => Err(error),
            error = stream.ended_early() => Err(error),
            () = silent_for(stall, taken.grows()) => Err(Failure::new(
                Exit::Program,
                format!("nothing moved for {} s while it was read {when}", stall.as_secs()),
            ).into()),
            read = read => read,
        };
        let (bytes, told) = match read {
            Ok(read) => read,
            Err(error) => {
                // In this order: it commits at the end of its input.
                stream.kill().await;
                return Err(error);
            }
        };
        drop(sink);
        let accepted = tokio::select! {
            biased;
            () = run.shutdown.asked() => Err(run.store.interrupted()),
            error = &mut given_up => Err(error),
            accepted = stream.finish(bytes, &taken, stall) => accepted,
        };
        if accepted.is_err() {
            stream.kill().await;
        }
        let accepted = accepted?;
        run.store.verify_long(&accepted, since).await?;
        Ok((accepted, bytes, told))
    }
}

/// Nobody sees it: the stream that failed first has its own error.
fn given_up() -> anyhow::Error {
    anyhow::anyhow!("another stream of the same part failed")
}

/// Everything that tar writes goes into `sink`, which stays open. Dropped, it ends tar.
async fn read(
    spec: Spec,
    sink: Arc<OwnedFd>,
    contents: Contents,
    moved: [Activity; 2],
) -> Result<(u64, Scratch)> {
    let stdout = pipe()?;
    // All that it says is looked at, however much that is.
    let mut said = tempfile::tempfile().context("there is no place for what tar says")?;
    let spec = spec
        .output(Output::Pipe(stdout.writer))
        .errors(said.try_clone()?.into());
    let mut child = Child::spawn(spec)?;
    let passing = blocking::start(move || pass(stdout.reader, sink, contents, moved))?;
    let passed = passing.await.context("a thread ended in a panic")?;
    if passed.is_err() {
        child.killed().await?;
    }
    let (bytes, contents) = passed?;
    let ended = child.wait().await?;
    said.rewind()?;
    let mut text = String::new();
    said.read_to_string(&mut text)
        .context("what tar says cannot be read")?;
    let counted = tar::judge_running(&ended, &text)?;
    if counted != bytes {
        anyhow::bail!("tar wrote {counted} bytes but {bytes} arrived");
    }
    Ok((bytes, contents))
}

fn pass(
    source: OwnedFd,
    sink: Arc<OwnedFd>,
    mut contents: Contents,
    moved: [Activity; 2],
) -> Result<(u64, Scratch)> {
    let both = Both {
        source: source.into(),
        sink: sink.try_clone()?.into(),
        moved,
        bytes: 0,
    };
    let mut both = BufReader::with_capacity(1 << 20, both);
    tar::members(&mut both, |member| contents.add(member))?;
    Ok((both.get_ref().bytes, contents.finish()?))
}

/// Gives what it reads, and writes it on.
struct Both {
    source: File,
    sink: File,
    moved: [Activity; 2],
    bytes: u64,
}

impl Read for Both {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.sink
            .write_all(buffer.get(..read).unwrap_or_default())?;
        self.bytes += read as u64;
        self.moved.iter().for_each(|moved| moved.add(read as u64));
        Ok(read)
    }
}
