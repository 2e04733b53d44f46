//! How much is free on a server that lets this host in already.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::key_pair::KeyPair;
use super::server::options;
use super::sftp::{feed, parse_df};
use crate::drivers::tool::{self, Spec};

const DEADLINE: Duration = Duration::from_secs(5);

/// Bytes at `/`, or why that is not known: a word or two. With whatever key, rule or agent lets the operator in already, and with ours.
/// Nothing is sent there but the question, so who answers need not be known yet: its keys are pinned once it is chosen.
pub async fn disk_free(address: IpAddr, home: &Path) -> Result<u64, &'static str> {
    let program = tool::find("sftp", "").map_err(|_| "no sftp here")?;
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let own = KeyPair::own_file(home);
    let spec = Spec::new(&program)
        .args(["-b", "-"])
        .args(login(&own))
        .arg("--")
        .arg(host);
    let finished = feed(with_agent(spec), "df /\n", DEADLINE).await;
    let finished = finished.map_err(|_| "no answer")?;
    let told = String::from_utf8_lossy(&finished.stdout);
    if let Some(free) = parse_df(&told) {
        return Ok(free);
    }
    Err(reason(&finished.ended.stderr))
}

fn login(own: &PathBuf) -> Vec<OsString> {
    let mut words = options([
        "BatchMode=yes".into(),
        "ConnectTimeout=4".into(),
        "StrictHostKeyChecking=no".into(),
        "UserKnownHostsFile=/dev/null".into(),
        "GlobalKnownHostsFile=/dev/null".into(),
        "ForwardAgent=no".into(),
        "LogLevel=ERROR".into(),
    ]);
    if own.exists() {
        words.extend(["-i".into(), own.into()]);
    }
    words
}

fn with_agent(spec: Spec) -> Spec {
    match std::env::var_os("SSH_AUTH_SOCK") {
        Some(agent) => spec.env("SSH_AUTH_SOCK", agent),
        None => spec,
    }
}

/// In the words of OpenSSH 9.
fn reason(stderr: &str) -> &'static str {
    [
        ("Permission denied", "no login yet"),
        ("Connection refused", "no SSH server"),
        ("timed out", "no answer"),
        ("No route to host", "no answer"),
        ("banner", "no SSH server"),
        ("statvfs", "not told"),
        ("subsystem request failed", "no SFTP"),
    ]
    .iter()
    .find(|(words, _)| stderr.contains(words))
    .map_or("not told", |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_it_is_not_known_is_told_in_a_word_or_two() {
        for (stderr, why) in [
            (
                "root@100.64.0.2: Permission denied (publickey).\nConnection closed",
                "no login yet",
            ),
            (
                "ssh: connect to host 100.64.0.2 port 22: Connection refused",
                "no SSH server",
            ),
            (
                "ssh: connect to host 100.64.0.2 port 22: Connection timed out",
                "no answer",
            ),
            (
                "Server does not support statvfs@openssh.com extension",
                "not told",
            ),
            ("something else", "not told"),
        ] {
            assert_eq!(reason(stderr), why, "{stderr}");
        }
    }
}
