//! Knocks at a storage: whether it answers, and whether a repository is in it. Nothing is made there but, over SFTP, the
//! directory, which Kopia makes whenever it connects.

use chrono::{SecondsFormat, Utc};

use super::client::Kopia;
use super::failure::{self, Cause};
use crate::drivers::tool::Finished;
use crate::error::{Exit, Failure, Result};

/// What a storage that answers has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    Repository,
    Empty,
}

impl Kopia {
    /// The password need not be right: that a repository refuses it tells that there is one.
    pub async fn probe(&self) -> Result<Probed> {
        let (_temporary, finished) = self.attach("connect", &[]).await?;
        if finished.ended.status.success() {
            return Ok(Probed::Repository);
        }
        match failure::cause(&finished.ended.stderr) {
            Cause::WrongPassword => Ok(Probed::Repository),
            Cause::NotInitialized => {
                self.check_bucket().await?;
                Ok(Probed::Empty)
            }
            _ => Err(failure::of(&finished.ended)),
        }
    }

    /// On S3 a missing bucket looks to Kopia 0.23.1 like an empty one. Asked for a view of the past it asks the server about
    /// the bucket itself first, whose answer is in the error.
    async fn check_bucket(&self) -> Result<()> {
        if self.settings.storage_args.first().map(String::as_str) != Some("s3") {
            return Ok(());
        }
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let past = format!("--point-in-time={now}");
        let (_temporary, finished) = self.attach("connect", &[past]).await?;
        if is_missing_bucket(&finished) {
            return Err(Failure::new(Exit::Storage, "the bucket does not exist")
                .hint("make it with your provider's tools, or correct its name")
                .into());
        }
        Ok(())
    }
}

/// The sentence of AWS, which other servers repeat. One that says something else is believed to have the bucket.
fn is_missing_bucket(finished: &Finished) -> bool {
    ["The specified bucket does not exist", "NoSuchBucket"]
        .iter()
        .any(|words| finished.ended.stderr.contains(words))
}
