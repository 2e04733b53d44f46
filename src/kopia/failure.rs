//! Kopia exits with 1 whatever happens; its words on stderr are the only difference. They are read here and nowhere else.
//! Texts as of Kopia 0.23.1.

use crate::error::{Exit, Failure};
use crate::tool::Ended;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    WrongPassword,
    /// No connection profile.
    NotConnected,
    /// The storage answers and has no repository.
    NotInitialized,
    /// `create` where there is one already.
    AlreadyThere,
    NoSpace,
    StorageUnreachable,
    Other,
}

/// The first fragment that matches decides: the more telling ones come first.
const FRAGMENTS: &[(&str, Cause)] = &[
    ("invalid repository password", Cause::WrongPassword),
    ("repository is not connected", Cause::NotConnected),
    ("not connected to a repository", Cause::NotConnected),
    (
        "found existing data in storage location",
        Cause::AlreadyThere,
    ),
    ("repository already initialized", Cause::AlreadyThere),
    (
        "repository not initialized in the provided storage",
        Cause::NotInitialized,
    ),
    // With a profile that was connected before the storage was emptied.
    (
        "error getting kopia.repository blob: BLOB not found",
        Cause::NotInitialized,
    ),
    ("no space left on device", Cause::NoSpace),
    ("No space left on device", Cause::NoSpace),
    ("disk quota exceeded", Cause::NoSpace),
    ("cannot access storage path", Cause::StorageUnreachable),
    ("can't connect to storage", Cause::StorageUnreachable),
    ("cannot open storage", Cause::StorageUnreachable),
    ("unable to open repository", Cause::StorageUnreachable),
    ("error reading format blob", Cause::StorageUnreachable),
    ("unable to read format blob", Cause::StorageUnreachable),
    ("despite 10 retries", Cause::StorageUnreachable),
    ("connection refused", Cause::StorageUnreachable),
    ("i/o timeout", Cause::StorageUnreachable),
];

pub(super) fn cause(stderr: &str) -> Cause {
    FRAGMENTS
        .iter()
        .find(|(fragment, _)| stderr.contains(fragment))
        .map_or(Cause::Other, |(_, cause)| *cause)
}

/// What a kopia said that a signal ended, in the chain of its error: it could not tell what is wrong with the repository.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Killed(String);

/// The error for a kopia that ended badly.
pub(super) fn of(ended: &Ended) -> anyhow::Error {
    let what = ended.describe();
    let failure = match cause(&ended.stderr) {
        Cause::WrongPassword => Failure::new(Exit::WrongPassword, "the repository refused the password")
            .hint("set `kopia.password` or `kopia.password_file` to the password the repository was made with, then run `kopi-docka init`"),
        Cause::NotConnected => Failure::new(Exit::NoRepository, "this host is not connected to a repository")
            .hint("run `kopi-docka init`"),
        Cause::NotInitialized => Failure::new(Exit::NoRepository, "there is no repository in the configured storage")
            .hint("check `kopia.kopia_params` and that the storage is mounted; `kopi-docka init` makes a new repository"),
        Cause::AlreadyThere => Failure::new(Exit::NoRepository, "the storage holds a repository already")
            .hint("run `kopi-docka init` to connect to it"),
        Cause::NoSpace => Failure::new(Exit::Storage, "the repository's storage is full")
            .hint("free space there, then run the backup again"),
        Cause::StorageUnreachable => Failure::new(Exit::Storage, "the repository's storage can't be reached")
            .hint("check that it is mounted or that its server answers, and `kopia.kopia_params` (`kopi-docka show-config`)"),
        Cause::Other => Failure::new(Exit::Program, "kopia failed"),
    };
    let said = said(ended);
    let cause = if ended.status.code().is_none() {
        anyhow::Error::from(Killed(said))
    } else {
        anyhow::anyhow!("{said}")
    };
    failure.caused_by(cause.context(what)).into()
}

/// What it said, in one short text.
fn said(ended: &Ended) -> String {
    if ended.stderr.is_empty() {
        "kopia said nothing".to_owned()
    } else {
        format!("kopia said: {}", ended.stderr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_words_of_kopia_0_23_1_are_told_apart() {
        for (stderr, expected) in [
            (
                "ERROR error connecting to repository: unable to create format manager: invalid repository password",
                Cause::WrongPassword,
            ),
            (
                "ERROR error connecting to repository: repository not initialized in the provided storage",
                Cause::NotInitialized,
            ),
            (
                "ERROR failed to open repository: unable to create format manager: unable to read format blob: error getting kopia.repository blob: BLOB not found",
                Cause::NotInitialized,
            ),
            (
                "ERROR can't connect to storage: cannot access storage path: stat /x: no such file or directory",
                Cause::StorageUnreachable,
            ),
            (
                "ERROR open repository: repository is not connected. See https://kopia.io/docs/repositories/",
                Cause::NotConnected,
            ),
            (
                "ERROR unable to get repository storage: found existing data in storage location",
                Cause::AlreadyThere,
            ),
            (
                "ERROR flush error: unable to write pack: despite 10 retries: write /r/p: no space left on device",
                Cause::NoSpace,
            ),
            ("ERROR something new", Cause::Other),
        ] {
            assert_eq!(cause(stderr), expected, "{stderr}");
        }
    }
}
