//! What a later run makes of a change that was interrupted: it tries both passwords and finishes.

use super::journal::Journal;
use super::store;
use crate::base::lock::Lock;
use crate::base::secret::Secret;
use crate::config::Loaded;
use crate::context::Context;
use crate::drivers::kopia::{Kopia, Opens};
use crate::error::{Exit, Failure, Result};
use crate::repository::Repository;

/// A configuration whose password can be believed.
pub struct Settled {
    pub loaded: Loaded,
    /// A change that was interrupted is finished now.
    pub is_changed: bool,
}

/// Finishes what was interrupted, if anything was. `lock` is taken here when the caller has none.
pub async fn settle(cx: &Context, lock: Option<&Lock>, loaded: Loaded) -> Result<Settled> {
    let unchanged = |loaded| Settled {
        loaded,
        is_changed: false,
    };
    if !Journal::is_there(&cx.paths, &loaded.config) {
        return Ok(unchanged(loaded));
    }
    let old = loaded.config.password()?;
    let kopia = Repository::of(cx, &loaded.config)?.kopia;
    let journal = Journal::of(&cx.paths, &loaded.config, kopia.location());
    let new = journal.read()?;
    let _taken = match lock {
        Some(_) => None,
        None => Some(Lock::take(&cx.paths.runtime, "change-password")?),
    };
    let opening = find(&kopia, &[&new, &old]).await?;
    if opening == Some(&new) {
        if old != new {
            store::store(&loaded, &new)?;
        }
        journal.remove()?;
        cx.ui.warn("a change of the password was interrupted and is finished now: the repository has the new one");
        return Ok(Settled {
            loaded: cx.config_again()?,
            is_changed: true,
        });
    }
    if opening == Some(&old) {
        journal.remove()?;
        cx.ui.warn("a change of the password was interrupted and is undone: the repository has the old one");
        return Ok(unchanged(loaded));
    }
    Err(Failure::new(
        Exit::WrongPassword,
        "the repository refused the configured password, and the one of a change that was interrupted",
    )
    .hint(format!(
        "set `kopia.password` or `kopia.password_file` to the password that the repository has, then remove `{}`, which holds the \
         other one",
        journal.name()
    ))
    .into())
}

/// The first of `passwords` that opens the repository, undoing a half change.
async fn find<'a>(kopia: &Kopia, passwords: &[&'a Secret]) -> Result<Option<&'a Secret>> {
    for password in passwords {
        let kopia = kopia.with_password(password);
        let mut opens = kopia.opens().await?;
        if opens == Opens::Half {
            kopia.undo_half_change()?;
            opens = kopia.opens().await?;
        }
        if opens == Opens::Yes {
            return Ok(Some(password));
        }
    }
    Ok(None)
}
