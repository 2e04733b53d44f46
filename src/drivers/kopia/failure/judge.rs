//! The error for a kopia that ended badly.

use super::cause::{Cause, cause};
use super::sentence;
use crate::drivers::tool::{Ended, NoAnswer};
use crate::error::{Exit, Failure};

/// What a kopia said that a signal ended, in the chain of its error: it could not tell what is wrong with the repository.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Killed(String);

/// What any other one said, in the chain of its error.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Said {
    text: String,
    cause: Cause,
}

/// What the words of a kopia in the chain of `error` mean; `None` where there are none.
pub fn cause_of(error: &anyhow::Error) -> Option<Cause> {
    let said = error.chain().find_map(|cause| cause.downcast_ref::<Said>());
    said.map(|said| said.cause)
}

/// The error for a kopia that ended badly.
pub fn of(ended: &Ended) -> anyhow::Error {
    let text = said(ended);
    let known = cause(&ended.stderr);
    let why = if ended.status.code().is_none() {
        anyhow::Error::from(Killed(text))
    } else {
        anyhow::Error::from(Said { text, cause: known })
    };
    if ended.status.success() && known == Cause::Other {
        // Its words are no error's, and neither is its status.
        let what = "kopia exited before it had read all data";
        let failure = Failure::new(Exit::Program, what)
            .hint("run it again; `kopi-docka repo-status` shows whether the repository is intact");
        return failure.caused_by(why.context(ended.describe())).into();
    }
    sentence::of(known)
        .caused_by(why.context(ended.describe()))
        .into()
}

/// The error for a kopia that we gave up.
pub fn stuck(what: String, ended: &Ended) -> anyhow::Error {
    let text = said(ended);
    let cause = cause(&ended.stderr);
    let failure = Failure::new(Exit::Storage, what);
    let known = sentence::of(cause);
    let failure = match known.exit {
        Exit::Program => failure.hint("check that the storage answers"),
        _ => known.hints.iter().fold(failure, Failure::hint),
    };
    failure
        .hint("`backup.stall_timeout` says how long to wait")
        .caused_by(anyhow::Error::from(Said { text, cause }).context(ended.describe()))
        .into()
}

/// `error` is of a kopia that only asks. It does nothing that takes long but to wait for the storage.
pub fn unanswered(error: anyhow::Error) -> anyhow::Error {
    if error.chain().any(|cause| cause.is::<NoAnswer>()) {
        sentence::of(Cause::NoAnswer).caused_by(error).into()
    } else {
        error
    }
}

/// What it said, in one short text.
fn said(ended: &Ended) -> String {
    if ended.stderr.is_empty() {
        "kopia said nothing".to_owned()
    } else {
        format!("kopia said: {}", readable(&ended.stderr))
    }
}

/// Without what is of no use to a reader, and without the signature of a shared link, which Kopia shows with its address. What it
/// repeats at each of its tries is said once.
fn readable(stderr: &str) -> String {
    let readable = |line| mask_signature(&without_dump(without_level(line)));
    let mut lines: Vec<String> = stderr.lines().map(readable).collect();
    lines.dedup();
    lines.join("\n")
}

/// Kopia's log begins its lines with their level.
fn without_level(line: &str) -> &str {
    let levels = ["ERROR ", "WARN ", "INFO "];
    let without = levels.iter().find_map(|level| line.strip_prefix(level));
    without.unwrap_or(line)
}

/// Kopia prints the settings of its SSH client as Go sees them.
fn without_dump(line: &str) -> String {
    const START: &str = "&ssh.ClientConfig{";
    match (line.find(START), line.rfind("}: ")) {
        (Some(start), Some(end)) if start < end => {
            let before = line.get(..start).unwrap_or_default();
            let after = line.get(end + "}: ".len()..).unwrap_or_default();
            format!("{before}{after}")
        }
        _ => line.to_owned(),
    }
}

fn mask_signature(line: &str) -> String {
    const NAME: &str = "sig=";
    let mut parts = line.split(NAME);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || "%+/=_-.~".contains(c));
        let rest = part
            .find(is_end)
            .map_or("", |end| part.get(end..).unwrap_or_default());
        text.push_str(NAME);
        text.push_str("***");
        text.push_str(rest);
    }
    text
}

/// The error for a kopia that said this and exited with 1.
#[cfg(test)]
pub fn ended(stderr: &str) -> anyhow::Error {
    use std::os::unix::process::ExitStatusExt as _;

    of(&Ended {
        display: "kopia repository status".to_owned(),
        status: std::process::ExitStatus::from_raw(1 << 8),
        stderr: stderr.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn one_that_ended_well_too_early_is_told_in_words_and_not_by_its_status() {
        let ended = Ended {
            display: "kopia snapshot create …".to_owned(),
            status: std::process::ExitStatus::from_raw(0),
            stderr: String::new(),
        };
        let text = format!("{:#}", of(&ended));
        assert!(
            text.starts_with("kopia exited before it had read all data"),
            "{text}"
        );
        assert!(!text.contains("status 0"), "{text}");
    }

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
                "can't connect to storage: error retrieving storage config from bucket \"bkt\": Get \"https://127.0.0.1:17070/bkt/host1/.storageconfig\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Cause::Certificate,
            ),
            (
                "can't connect to storage: unable to create GCS client: dialing: credentials: could not find default credentials. See https://cloud.google.com/docs/authentication/external/set-up-adc for more information",
                Cause::NoCredentials,
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

    #[test]
    fn what_is_of_no_use_or_secret_is_left_out_of_its_words() {
        assert_eq!(
            readable(
                "dial [h:22]: &ssh.ClientConfig{Config:ssh.Config{}, User:\"root\", Timeout:0}: dial tcp: no such host"
            ),
            "dial [h:22]: dial tcp: no such host"
        );
        assert_eq!(
            readable(
                "Get \"https://a.test/c?se=2027&sig=hunter%2B2%3D&sp=rw\": refused\nsig=hunter2"
            ),
            "Get \"https://a.test/c?se=2027&sig=***&sp=rw\": refused\nsig=***"
        );
        assert_eq!(readable("ERROR upload failed"), "upload failed");
        assert_eq!(
            readable("}: odd &ssh.ClientConfig{"),
            "}: odd &ssh.ClientConfig{"
        );
    }

    proptest! {
        /// The words of ssh, of servers and of Kopia come as they are; a signature in them goes no further.
        #[test]
        fn no_words_break_it(
            words in damaged_text(
                "ERROR can't connect to storage: Put \"https://a.blob.core.windows.net/c?sv=1&sig=c2VjcmV0%3D\": denied\n\
                unable to create SFTP client: &ssh.ClientConfig{User:\"u\"}: ssh: unable to authenticate\n",
            ),
        ) {
            let _ = cause(&words);
            let told = readable(&words);
            for (at, name) in told.match_indices("sig=") {
                prop_assert!(told[at + name.len()..].starts_with("***"), "{}", told);
            }
        }
    }
}
