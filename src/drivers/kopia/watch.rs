//! Signs of life: a kopia that is stuck in a storage call ignores SIGTERM and can hang for hours.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::failure;
use crate::base::activity::{Activity, silent_for};
use crate::base::heartbeat;
use crate::drivers::tool::{Child, Ended, Mark, Meter, Said};
use crate::error::{Exit, Failure, Result};

/// For the answer of a child that has ended.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Whether a kopia gets further, however slowly: the digits of its progress line (the spinner turns without any progress), what
/// others have moved for it, and the bytes that it has moved itself. While it uploads a pack, it takes no input and its figures stand
/// still.
pub struct Life {
    said: watch::Receiver<Said>,
    meter: Meter,
    /// Whether any line is a sign, of one that shows no progress.
    counts_lines: bool,
    last: (u64, String),
    mark: Mark,
}

impl Life {
    pub fn of(child: &Child) -> Self {
        let meter = child.meter();
        Self {
            said: child.said(),
            mark: meter.mark(),
            meter,
            counts_lines: false,
            last: (0, String::new()),
        }
    }

    /// Whether there was a sign of life since it was last asked. `moved` is what others have moved for it so far.
    pub fn goes_on(&mut self, moved: u64) -> bool {
        let now = (moved, self.tells());
        let is_new = now != self.last;
        self.last = now;
        let is_alive = self.meter.has_moved_since(&mut self.mark) || is_new;
        if is_alive {
            heartbeat::beat();
        }
        is_alive
    }

    fn tells(&self) -> String {
        let said = self.said.borrow();
        if self.counts_lines {
            return said.text();
        }
        said.progress.chars().filter(char::is_ascii_digit).collect()
    }
}

/// Waits for the end of `child`; kills it after `stall_timeout` without a sign of life, which a change of `activity` is too.
pub async fn until_end(
    child: &mut Child,
    activity: &Activity,
    stall_timeout: Duration,
) -> Result<Ended> {
    let life = Life::of(child);
    match while_alive(child, life, activity, stall_timeout).await? {
        Some(ended) => Ok(ended),
        None => Err(stuck(child, stall_timeout).await),
    }
}

/// Waits for the end of a `child` that shows no progress; kills it after `stall_timeout` in which it said nothing and neither
/// read nor wrote a byte anywhere.
pub async fn until_silent(child: &mut Child, stall_timeout: Duration) -> Result<Ended> {
    match while_speaking(child, stall_timeout).await? {
        Some(ended) => Ok(ended),
        None => Err(stuck(child, stall_timeout).await),
    }
}

/// [`until_silent`] that kills nothing: `None` when `limit` is over.
pub async fn while_speaking(child: &mut Child, limit: Duration) -> Result<Option<Ended>> {
    let mut life = Life::of(child);
    life.counts_lines = true;
    while_alive(child, life, &Activity::default(), limit).await
}

async fn while_alive(
    child: &mut Child,
    mut life: Life,
    activity: &Activity,
    limit: Duration,
) -> Result<Option<Ended>> {
    tokio::select! {
        biased;
        ended = child.wait() => ended.map(Some),
        () = silent_for(limit, || life.goes_on(activity.total())) => Ok(None),
    }
}

/// Resolves when there was no sign of `life` for `limit`.
pub async fn silence(mut life: Life, limit: Duration) {
    silent_for(limit, || life.goes_on(0)).await;
}

async fn stuck(child: &mut Child, stall_timeout: Duration) -> anyhow::Error {
    let seconds = stall_timeout.as_secs();
    let what = format!("kopia gave no sign of life for {seconds} s and was killed");
    given_up(child, what).await
}

/// Kills `child`. The error is `what`, with what it has said until then.
pub async fn given_up(child: &mut Child, what: String) -> anyhow::Error {
    match child.killed().await {
        Ok(ended) => failure::stuck(what, &ended),
        Err(error) => Failure::new(Exit::Storage, what).caused_by(error).into(),
    }
}

/// What [`collect`] has read of a child that has ended. Its pipe may be held open by what it has left behind.
pub async fn collected(reading: &mut JoinHandle<Vec<u8>>) -> Result<Vec<u8>> {
    match tokio::time::timeout(LAST_WORDS, &mut *reading).await {
        Ok(bytes) => Ok(bytes?),
        Err(_) => {
            reading.abort();
            anyhow::bail!("the answer of kopia has no end")
        }
    }
}

/// Reads the small answer of a child in the background, so that it never waits for us.
pub fn collect(stdout: Option<ChildStdout>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            // What cannot be read is missing, and the JSON will not parse.
            let _ = stdout.take(1 << 20).read_to_end(&mut bytes).await;
        }
        bytes
    })
}
