//! The time in which services are down: what can wait does so. Who closes them says so with a [`Quiet`], who would do something that
//! can wait looks here. One for the process, as there is one run.

use std::sync::OnceLock;

use tokio::sync::watch;

/// How many live.
fn held() -> &'static watch::Sender<usize> {
    static HELD: OnceLock<watch::Sender<usize>> = OnceLock::new();
    HELD.get_or_init(|| watch::Sender::new(0))
}

/// While one lives, nothing is done that can wait.
#[must_use = "it ends when it is dropped"]
pub struct Quiet(());

impl Quiet {
    pub fn begin() -> Self {
        held().send_modify(|held| *held += 1);
        Self(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        held().send_modify(|held| *held -= 1);
    }
}

/// Does `work` unless it is quiet; `None` when it is, or becomes so before the work is done.
pub async fn unless_quiet<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut held = held().subscribe();
    let begun = async {
        // The sender lives as long as the process.
        if held.wait_for(|held| *held > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = begun => None,
        done = work => Some(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_can_wait_is_cut_off_when_it_becomes_quiet() {
        assert_eq!(unless_quiet(async { 1 }).await, Some(1));
        let waiting = tokio::spawn(unless_quiet(std::future::pending::<()>()));
        tokio::task::yield_now().await;
        let quiet = Quiet::begin();
        assert_eq!(waiting.await.unwrap(), None);
        assert_eq!(unless_quiet(async { 1 }).await, None);
        drop(quiet);
        assert_eq!(unless_quiet(async { 1 }).await, Some(1));
    }
}
