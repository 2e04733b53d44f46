//! One part: `tar` reads what it is told, its headers are looked at as they pass, and kopia stores it. There is no spool: nothing waits
//! for it.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::time::Instant;

use crate::backup::run::Run;
use crate::base::activity::{Activity, silent_for};
use crate::base::blocking;
use crate::changed::pass::Pass;
use crate::changed::{Contents, Scratch};
use crate::drivers::kopia::{Accepted, NewSnapshot};
use crate::drivers::tar::{self, Record};
use crate::drivers::tool::{Child, Input, Output, Spec, pipe};
use crate::error::{Exit, Failure, Result};
use crate::model::SourceKey;

use super::site::Site;

/// A part that the repository has.
pub struct Stored {
    pub accepted: Accepted,
    pub bytes: u64,
    /// What is in it.
    pub contents: Scratch,
}

/// While services run they come first.
const NICENESS: i32 = 10;

/// Reads what `pass` lists into a snapshot of its own.
pub async fn store(
    run: &Run<'_>,
    site: &Site,
    (source, new): (&SourceKey, &NewSnapshot),
    (pass, is_sparse): (&mut Pass, bool),
) -> Result<Stored> {
    let record = Record::of(Some(pass.names.bytes));
    let contents = Pass::contents(&site.folder)?;
    let spec = run
        .tar
        .create_named(&site.place(), pass.names.has_links, is_sparse, record)
        .input(Input::Pipe(pass.names.file.try_clone()?.into()))
        .niceness(NICENESS);
    let opened = run.shutdown.cut("the run", run.store.open(new)).await?;
    let (mut stream, sink, _slot) = opened.into_parts();
    let sink = Arc::new(sink);
    let taken = Activity::default();
    let since = Instant::now();
    let moved = (taken.clone(), taken.clone());
    run.reporter.track(source, pass.names.bytes, moved);
    let stall = run.config.backup.stall_timeout;
    let read = read(spec, Arc::clone(&sink), contents, &taken);
    let read = tokio::select! {
        biased;
        () = run.shutdown.asked() => Err(run.store.interrupted()),
        error = stream.ended_early() => Err(error),
        () = silent_for(stall, taken.grows()) => Err(Failure::new(
            Exit::Program,
            format!("nothing moved for {} s while it was read before the stop", stall.as_secs()),
        ).into()),
        read = read => read,
    };
    let (bytes, contents) = match read {
        Ok(read) => read,
        Err(error) => {
            run.reporter.finished(source);
            // In this order: it commits at the end of its input.
            stream.kill().await;
            return Err(error);
        }
    };
    drop(sink);
    let accepted = tokio::select! {
        biased;
        () = run.shutdown.asked() => Err(run.store.interrupted()),
        accepted = stream.finish(bytes, &taken, stall) => accepted,
    };
    if accepted.is_err() {
        stream.kill().await;
    }
    run.reporter.finished(source);
    let accepted = accepted?;
    run.store.verify_long(&accepted, since).await?;
    Ok(Stored {
        accepted,
        bytes,
        contents,
    })
}

/// Everything that tar writes goes into `sink`, which stays open. Dropped, it ends tar.
async fn read(
    spec: Spec,
    sink: Arc<OwnedFd>,
    contents: Contents,
    moved: &Activity,
) -> Result<(u64, Scratch)> {
    let stdout = pipe()?;
    // All that it says is looked at, however much that is.
    let mut said = tempfile::tempfile().context("there is no place for what tar says")?;
    let spec = spec
        .output(Output::Pipe(stdout.writer))
        .errors(said.try_clone()?.into());
    let mut child = Child::spawn(spec)?;
    let moved = moved.clone();
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
    moved: Activity,
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
    moved: Activity,
    bytes: u64,
}

impl Read for Both {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.sink
            .write_all(buffer.get(..read).unwrap_or_default())?;
        self.bytes += read as u64;
        self.moved.add(read as u64);
        Ok(read)
    }
}
