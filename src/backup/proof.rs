//! That the repository is the one of this host, asked while the first unit gets ready. No window opens and no byte is stored before.

use std::pin::pin;

use tokio::task::{JoinError, JoinSet};

use crate::base::shutdown::Shutdown;
use crate::error::Result;
use crate::repository::Repository;

/// What is asked on the way; given up when dropped.
pub struct Proof {
    asked: JoinSet<Result<()>>,
    shutdown: Shutdown,
    /// It writes to the repository, so no other command may start before it ends.
    is_first: bool,
}

impl Proof {
    /// Asks `repository`, and settles this host in it.
    pub fn begin(repository: Repository, shutdown: &Shutdown) -> Result<Self> {
        let is_first = !repository.is_settled()?;
        let mut asked = JoinSet::new();
        asked.spawn(async move {
            let status = repository.open().await?;
            repository.settle(&status).await
        });
        Ok(Self {
            asked,
            shutdown: shutdown.clone(),
            is_first,
        })
    }

    /// Does `work` beside it, until one of them fails.
    pub async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            done = &mut work => Ok(done),
            proven = self.asked.join_next() => {
                // A signal ends the asking as well; the work hears it by itself.
                if !self.shutdown.is_asked() {
                    flat(proven)?;
                }
                Ok(work.await)
            }
        }
    }

    /// To be waited for before anything is begun in the repository.
    pub async fn begin_of_use(&mut self) -> Result<()> {
        if self.is_first {
            return self.end().await;
        }
        Ok(())
    }

    /// It holds. At once when it was said before.
    pub async fn end(&mut self) -> Result<()> {
        flat(self.asked.join_next().await)
    }
}

fn flat(proven: Option<Result<Result<()>, JoinError>>) -> Result<()> {
    match proven {
        Some(proven) => proven?,
        None => Ok(()),
    }
}
