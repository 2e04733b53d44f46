//! What we say to a cause: what happened, and what to do.

use super::Cause;
use crate::error::{Exit, Failure};

pub fn of(cause: Cause) -> Failure {
    let (exit, message, hints) = known(cause);
    let failure = Failure::new(exit, message);
    hints
        .iter()
        .fold(failure, |failure, hint| failure.hint(*hint))
}

/// Exit code, message, hints.
#[expect(clippy::too_many_lines, reason = "a table")]
fn known(cause: Cause) -> (Exit, &'static str, &'static [&'static str]) {
    match cause {
        Cause::WrongPassword => (
            Exit::WrongPassword,
            "the repository refused the password",
            &[
                "set `kopia.password` or `kopia.password_file` to the password the repository was made with, then run `kopi-docka init`",
            ],
        ),
        Cause::NotConnected => (
            Exit::NoRepository,
            "this host is not connected to a repository",
            &["run `kopi-docka init`"],
        ),
        Cause::NotInitialized => (
            Exit::NoRepository,
            "there is no repository in the configured storage",
            &[
                "check `kopia.kopia_params`, that the storage is mounted, and that its bucket is there (Kopia reports no more for a missing bucket)",
                "`kopi-docka init` creates a new repository",
            ],
        ),
        Cause::AlreadyThere => (
            Exit::NoRepository,
            "the storage already holds a repository",
            &["run `kopi-docka init` to connect to it"],
        ),
        Cause::NoSpace => (
            Exit::Storage,
            "the repository's storage is full",
            &["free space there, then run the backup again"],
        ),
        Cause::RefusedWrite => (
            Exit::Storage,
            "the SFTP server refused to write and gave no reason; most likely its disk is full",
            &[
                "look at the free space and the quota there (`df`), and into the server's log; then run it again",
            ],
        ),
        Cause::NoBucket => (
            Exit::Storage,
            "the bucket or container of `kopia.kopia_params` does not exist",
            &[
                "check its name, or make it with the tools of its provider: a repository is made only in a bucket that is there",
            ],
        ),
        Cause::Credentials => (
            Exit::Storage,
            "the storage refused the credentials",
            &[
                "check the key (for S3, B2, Azure and Google in the environment; for SFTP `--keyfile` and `--username` in `kopia.kopia_params`) and that the storage knows it",
                "after a change of the key run `kopi-docka init`: Kopia keeps the one that it was connected with",
            ],
        ),
        Cause::NoCredentials => (
            Exit::Storage,
            "there are no credentials for the storage",
            &[
                "name a file with them (`--credentials-file` in `kopia.kopia_params`), or put them into the environment",
            ],
        ),
        Cause::Denied => (
            Exit::Storage,
            "the storage denies access",
            &[
                "give the user or key of `kopia.kopia_params` the right to list, read, write and delete there",
            ],
        ),
        Cause::Region => (
            Exit::Storage,
            "the storage is in another region",
            &["set `--region` in `kopia.kopia_params` to the one that the storage names"],
        ),
        Cause::Certificate => (
            Exit::Storage,
            "the certificate of the storage's server is not trusted",
            &[
                "if the server has a CA of its own, name its file: `--root-ca-pem-path FILE` in `kopia.kopia_params` (S3), or the variable SSL_CERT_FILE",
            ],
        ),
        Cause::HostKeyChanged => (
            Exit::WrongPassword,
            "the SFTP server shows another host key than the known one",
            &[
                "if you do not know why it changed, find out first: it may be another machine",
                "to accept the new one, run `kopi-docka init` at a terminal: it shows both and asks, where the wizard pinned the old one",
                "the file of `--known-hosts` needs the server's keys of every type: `ssh-keyscan -p PORT HOST`, compared with those on the server",
            ],
        ),
        Cause::HostKeyUnknown => (
            Exit::Storage,
            "the host key of the SFTP server is not known",
            &[
                "put its keys of every type into the file of `--known-hosts`: `ssh-keyscan -p PORT HOST`, compared with those on the server",
            ],
        ),
        Cause::KnownHosts => (
            Exit::Config,
            "cannot read the host keys of the SFTP server",
            &[
                "name the file in `kopia.kopia_params`: `--known-hosts FILE`; `ssh-keyscan -p PORT HOST` writes what belongs into it",
            ],
        ),
        Cause::KeyFile => (
            Exit::Config,
            "cannot use the key for the SFTP server",
            &["name a key file without a passphrase in `kopia.kopia_params`: `--keyfile FILE`"],
        ),
        Cause::NoSuchHost => (
            Exit::Storage,
            "cannot reach the storage server: its name is unknown",
            &[
                "check the name in `kopia.kopia_params` (`kopi-docka show-config`) and this host's DNS",
            ],
        ),
        Cause::Refused => (
            Exit::Storage,
            "cannot reach the storage server: connection refused",
            &[
                "check that the server runs, and host and port in `kopia.kopia_params` (`kopi-docka show-config`)",
            ],
        ),
        Cause::NoAnswer => (
            Exit::Storage,
            "the repository's storage gives no answer",
            &[
                "check that its server runs, that this host reaches it, and `kopia.kopia_params` (`kopi-docka show-config`)",
            ],
        ),
        Cause::StorageUnreachable => (
            Exit::Storage,
            "cannot reach the storage of the repository",
            &[
                "check that it is mounted or that its server answers, and `kopia.kopia_params` (`kopi-docka show-config`)",
            ],
        ),
        Cause::Other => (Exit::Program, "kopia failed", &[]),
    }
}
