//! What an error while reading means. Damage is claimed only for what shows damage: a storage that does not answer, a host
//! short of memory or a point that retention took away meanwhile must not cost trust in a backup that is good.

use rustix::io::Errno;

use crate::drivers::kopia::Killed;
use crate::error::{Exit, exit_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What came out of the repository is not what was put in.
    Damaged,
    /// It could not be read, for a reason that says nothing about it.
    Unread,
    /// Nothing else can be read either.
    End,
}

/// Judges an error on a point that is still there, in a repository that still answers.
pub fn verdict(error: &anyhow::Error) -> Verdict {
    match exit_of(error) {
        Exit::Interrupted
        | Exit::Terminated
        | Exit::WrongPassword
        | Exit::NoRepository
        | Exit::Config => return Verdict::End,
        Exit::Storage => return Verdict::Unread,
        _ => {}
    }
    let is_about_this_host = error.chain().any(|cause| {
        cause.is::<Killed>()
            || cause.is::<std::io::Error>()
            || cause.is::<crate::drivers::tool::NoAnswer>()
            // A tar that sees no sense in its input stops reading it.
            || cause.downcast_ref::<Errno>().is_some_and(|errno| *errno != Errno::PIPE)
    });
    if is_about_this_host {
        Verdict::Unread
    } else {
        Verdict::Damaged
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;
    use crate::error::Failure;

    #[test]
    fn only_what_shows_damage_is_damage() {
        let failure = |exit| Failure::new(exit, "x").into();
        let io = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        for (error, expected) in [
            (failure(Exit::UnitsFailed), Verdict::Damaged),
            (failure(Exit::Program), Verdict::Damaged),
            (anyhow::anyhow!("tar said: no"), Verdict::Damaged),
            (
                Err::<(), _>(Errno::PIPE)
                    .context("tar stopped")
                    .unwrap_err(),
                Verdict::Damaged,
            ),
            (failure(Exit::Storage), Verdict::Unread),
            (
                Err::<(), _>(io()).context("no start").unwrap_err(),
                Verdict::Unread,
            ),
            (
                Failure::new(Exit::Program, "kopia failed")
                    .caused_by(anyhow::Error::from(io()).context("deeper"))
                    .into(),
                Verdict::Unread,
            ),
            (failure(Exit::WrongPassword), Verdict::End),
            (failure(Exit::Interrupted), Verdict::End),
        ] {
            assert_eq!(verdict(&error), expected, "{error:#}");
        }
    }
}
