//! The change itself, in order.

use super::journal::Journal;
use super::settle::settle;
use super::store;
use crate::base::fault;
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::base::shutdown::Shield;
use crate::config::Loaded;
use crate::context::Context;
use crate::drivers::kopia::Opens;
use crate::error::{Exit, Failure, Result};
use crate::repository::Repository;

/// Gives the repository of `loaded` the password `new`, and stores it where the old one is. A signal waits until it is done.
pub async fn change(cx: &Context, lock: &Lock, loaded: Loaded, new: &Secret) -> Result<()> {
    let _shield = Shield::raise();
    let repository = Repository::of(cx, &loaded.config)?;
    let kopia = &repository.kopia;
    // Before anything changes: the new one can be stored.
    store::place(&loaded)?;
    let journal = Journal::of(&cx.paths, &loaded.config, kopia.location());
    journal.write(new)?;
    fault::reached("password_journal").await;
    if let Err(error) = kopia.change_password(new).await {
        // It may have been changed all the same, or half.
        let settled = settle(cx, Some(lock), loaded).await?;
        return if settled.is_changed {
            Ok(())
        } else {
            Err(error)
        };
    }
    fault::reached("password_changed").await;
    store::store(&loaded, new).map_err(|error| {
        Failure::new(
            Exit::Config,
            "the repository has the new password, but it could not be stored",
        )
        .hint(format!(
            "fix that and run `kopi-docka change-password` again; until then the new password is in `{}`",
            journal.name()
        ))
        .caused_by(error)
    })?;
    fault::reached("password_stored").await;
    let stored = cx.config_again()?;
    let kopia = Repository::of(cx, &stored.config)?.kopia;
    if kopia.opens().await? != Opens::Yes {
        return Err(Failure::new(
            Exit::WrongPassword,
            "the repository does not open with the password that was just stored",
        )
        .hint(format!("the new password is in `{}` too", journal.name()))
        .into());
    }
    journal.remove()
}
