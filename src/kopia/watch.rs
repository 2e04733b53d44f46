//! Signs of life: a kopia that is stuck in a storage call ignores SIGTERM and can hang for hours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::failure;
use crate::error::Result;
use crate::pulse;
use crate::tool::{Child, Ended, Said};

/// Bytes that somebody else moved for a child. Any change is a sign of life.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<AtomicU64>);

impl Activity {
    pub fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        pulse::beat();
    }

    /// Whether both count the same thing.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a kopia tells of its own work.
#[derive(Clone, Debug)]
pub struct Progress(watch::Receiver<Said>);

impl Progress {
    pub(super) fn of(child: &Child) -> Self {
        Self(child.said())
    }

    /// The digits of its progress line: the spinner turns without any progress.
    pub fn figures(&self) -> String {
        let said = self.0.borrow();
        said.progress.chars().filter(char::is_ascii_digit).collect()
    }
}

/// Waits for the end of `child`; kills it after `stall_timeout` in which neither `activity` nor its progress line changed.
pub(super) async fn until_end(
    child: &mut Child,
    activity: &Activity,
    stall_timeout: Duration,
) -> Result<Ended> {
    let progress = Progress::of(child);
    let signs = |_: &Child| (activity.total(), progress.figures());
    until_no_sign(child, signs, stall_timeout).await
}

/// Waits for the end of a `child` that shows no progress; kills it after `stall_timeout` in which it said nothing and neither
/// read nor wrote a byte anywhere.
pub(super) async fn until_silent(child: &mut Child, stall_timeout: Duration) -> Result<Ended> {
    let said = child.said();
    let signs = |child: &Child| (child.bytes_moved(), said.borrow().text());
    until_no_sign(child, signs, stall_timeout).await
}

async fn until_no_sign<T: PartialEq>(
    child: &mut Child,
    signs: impl Fn(&Child) -> T,
    stall_timeout: Duration,
) -> Result<Ended> {
    let mut last = signs(child);
    let mut since = Instant::now();
    let poll = (stall_timeout / 10).clamp(Duration::from_millis(50), Duration::from_secs(1));
    loop {
        if let Ok(ended) = tokio::time::timeout(poll, child.wait()).await {
            return ended;
        }
        let now = signs(child);
        if now != last {
            pulse::beat();
            last = now;
            since = Instant::now();
        } else if since.elapsed() >= stall_timeout {
            child.kill();
            let ended = child.wait().await?;
            let seconds = stall_timeout.as_secs();
            let what = format!("kopia gave no sign of life for {seconds} s and was killed");
            return Err(failure::stuck(what, &ended));
        }
    }
}

/// Reads the small answer of a child in the background, so that it never waits for us.
pub(super) fn collect(stdout: Option<ChildStdout>) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        if let Some(stdout) = stdout {
            // What can't be read is missing, and the JSON won't parse.
            let _ = stdout.take(1 << 20).read_to_end(&mut bytes).await;
        }
        bytes
    })
}
