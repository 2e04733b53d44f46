//! The password of the repository, and a new one.
//!
//! Kopia 0.23.1 does not change it in one step: it writes `kopia.blobcfg` first, then `kopia.repository`. Ended in between, it leaves
//! a repository that no password opens; without `kopia.blobcfg`, which only storage with object locks needs, the old one opens it.

use std::path::Path;

use super::client::Kopia;
use super::failure::{self, Cause};
use super::repository::{CONNECT_DEADLINE, flag};
use crate::base::secret::Secret;
use crate::drivers::tool;
use crate::error::{Exit, Failure, Result};

const HALF: &str = "unable to decrypt repository blobcfg blob";

/// What a password is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    Yes,
    No,
    /// It did before a change was ended halfway, and will when that is undone.
    Half,
}

impl Kopia {
    pub fn with_password(&self, password: &Secret) -> Self {
        let mut kopia = self.clone();
        kopia.password = password.clone();
        kopia
    }

    /// Asks the storage itself: a connection of its own, past every cache.
    pub async fn opens(&self) -> Result<Opens> {
        let (_temporary, connected) = self.attach("connect", &[]).await?;
        let stderr = &connected.ended.stderr;
        if connected.ended.status.success() {
            Ok(Opens::Yes)
        } else if stderr.contains(HALF) {
            Ok(Opens::Half)
        } else if failure::cause(stderr) == Cause::WrongPassword {
            Ok(Opens::No)
        } else {
            Err(failure::of(&connected.ended))
        }
    }

    /// From this one's password to `new`. After an error either of the two may be the one that opens it.
    pub async fn change_password(&self, new: &Secret) -> Result<()> {
        let spec = self
            .command()
            .args(["repository", "change-password"])
            .env("KOPIA_NEW_PASSWORD", new.expose());
        let finished = tool::run(spec, CONNECT_DEADLINE).await?;
        if finished.ended.status.success() {
            Ok(())
        } else {
            Err(failure::of(&finished.ended))
        }
    }

    /// After [`Opens::Half`].
    pub fn undo_half_change(&self) -> Result<()> {
        let args = &self.settings.storage_args;
        let is_folder = args.first().is_some_and(|kind| kind == "filesystem");
        match flag(args, "path") {
            Some(path) if is_folder => {
                crate::base::files::remove(&Path::new(path).join("kopia.blobcfg.f"))
            }
            _ => Err(Failure::new(
                Exit::WrongPassword,
                "a change of the password was ended halfway, and no password opens the repository",
            )
            .hint(
                "remove the object `kopia.blobcfg` (with the prefix of the repository; `kopia.blobcfg.f` on SFTP) from the storage with the \
                 tool of its provider, then run this again: Kopia does without it",
            )
            .into()),
        }
    }
}
