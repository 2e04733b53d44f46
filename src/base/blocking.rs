//! Work that blocks, on a thread of its own: a disk that does not answer must not block signals.

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::error::Result;

/// How long the disks may take to say what is there.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// Runs `work` on a thread. When the returned future is dropped the work goes on, and its result is lost.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    start(work)?.await.context("a thread ended in a panic")?
}

/// As [`aside`], but the work has begun when this returns.
pub fn start<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T>>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("restore".to_owned())
        .spawn(move || {
            // The caller may be gone; then the answer is not needed.
            let _ = sender.send(work());
        })
        .context("no thread can be started")?;
    Ok(receiver)
}

/// Gives up on a disk that does not answer.
pub async fn looked_up<T>(looking: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LOOK_PATIENCE, looking)
        .await
        .with_context(|| {
            format!(
                "a disk did not answer within {} s: is there a mount whose server is gone?",
                LOOK_PATIENCE.as_secs()
            )
        })?
}
