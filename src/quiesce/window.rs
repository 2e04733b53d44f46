//! The window: stop, do what has to be done cold, start again whatever came of it.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::thread;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use super::record::{Entry, RecordFile};
use super::start::Started;
use super::stop::stop_all;
use crate::base::quiet::Quiet;
use crate::base::shutdown::Shutdown;
use crate::drivers::docker::Engine;
use crate::error::Result;

/// What a job does while containers are down for it.
pub trait WhileDown {
    type Done;

    /// Nothing of it has to be cold any more once it has said so by `down.spoilt`: the containers are started beside it then.
    async fn work(&mut self, down: Down<'_>) -> Result<Self::Done>;

    /// Comes right before the start, whatever `result` is; the outer error is a panic.
    async fn leave(&mut self, result: &thread::Result<Result<Self::Done>>) -> Leave;
}

/// As it is when the last stop was asked for.
pub struct Down<'a> {
    /// An error: some of them may run.
    pub stopped: Result<()>,
    /// Those that were asked to stop, and those that had ended before that.
    pub entries: Vec<Entry>,
    pub spoilt: &'a Notify,
}

/// What becomes of the containers.
pub enum Leave {
    Started,
    /// All but those with these ids: they belong to other data.
    StartedBut(Vec<String>),
    /// What they work on is half way: the record stays, and who fixes that starts them.
    Stopped,
}

/// The result. Everything that should run does.
#[must_use]
pub struct Over<T> {
    /// The outer error is a panic, for the caller to pass on.
    pub result: thread::Result<Result<T>>,
    pub started: Started,
    /// Those that were stopped.
    pub entries: Vec<Entry>,
}

/// Stops what `record` names, works, and starts it again. A bug of ours must not leave containers down: a panic is held until they are up.
pub async fn while_down<W: WhileDown>(
    engine: &Engine,
    record: RecordFile,
    shutdown: &Shutdown,
    job: &mut W,
) -> Over<W::Done> {
    let _quiet = Quiet::begin();
    let (quiesced, stopped) = stop_all(engine, record, shutdown).await;
    let entries = quiesced.entries().to_vec();
    let spoilt = Notify::new();
    let (started, result) = {
        let work = job.work(Down {
            stopped,
            entries: quiesced.seen(),
            spoilt: &spoilt,
        });
        let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
        tokio::select! {
            biased;
            result = &mut work => (Err(quiesced), result),
            () = spoilt.notified() => {
                let (started, result) = tokio::join!(quiesced.start(engine), work);
                (Ok(started), result)
            }
        }
    };
    let leave = job.leave(&result).await;
    let started = match (started, leave) {
        (Ok(started), _) => started,
        (Err(quiesced), Leave::Started) => quiesced.start(engine).await,
        (Err(mut quiesced), Leave::StartedBut(held)) => {
            quiesced.hold(&held);
            quiesced.start(engine).await
        }
        (Err(quiesced), Leave::Stopped) => Started {
            downtime_seconds: quiesced.seconds(),
            still_stopped: quiesced
                .entries()
                .iter()
                .map(|entry| (entry.name.clone(), String::new()))
                .collect(),
            ..Started::default()
        },
    };
    Over {
        result,
        started,
        entries,
    }
}
