//! The keys by which a server is known. All types that it has are pinned: Kopia 0.23.1 asks for one of them by an order of its
//! own, and takes a missing type for a changed key.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::server::Server;
use crate::base::files;
use crate::drivers::tool::{self, NoAnswer, Spec};
use crate::error::{Exit, Failure, Result};

const DEADLINE: Duration = Duration::from_secs(30);

/// For what is no SSH server: `ssh-keyscan` waits for the rest of its greeting, whatever `-T` says.
const SCANNING: Duration = Duration::from_secs(12);

/// Each as `type base64`, sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeys(Vec<String>);

/// What the server shows right now. Whether it is the right server, only its fingerprints tell.
pub async fn scan(server: &Server) -> Result<HostKeys> {
    let spec = Spec::new(&super::find("ssh-keyscan")?)
        .args(["-T", "10", "-p", &server.port.to_string(), "--"])
        .arg(&server.host);
    let keys = match tool::run(spec, SCANNING).await {
        Ok(finished) => parse(&String::from_utf8_lossy(&finished.stdout)),
        Err(error) if error.chain().any(|cause| cause.is::<NoAnswer>()) => Vec::new(),
        Err(error) => return Err(error),
    };
    if keys.is_empty() {
        let place = format!("{}, port {}", server.host, server.port);
        return Err(
            Failure::new(Exit::Storage, format!("no SSH server answers at {place}"))
                .hint("check host and port, and that its SSH server runs and no firewall is in the way")
                .into(),
        );
    }
    Ok(HostKeys(keys))
}

/// Lines of `host type base64`; what a server may have put in besides is dropped.
fn parse(text: &str) -> Vec<String> {
    let is_type = |word: &str| {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'@' | b'.');
        word.bytes().all(is_allowed)
    };
    let is_key = |word: &str| {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
        word.len() > 16 && word.bytes().all(is_allowed)
    };
    let mut keys: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (kind, key) = (words.next()?, words.next()?);
            (is_type(kind) && is_key(key)).then(|| format!("{kind} {key}"))
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

impl HostKeys {
    /// One line a key, as every SSH client shows them.
    pub async fn fingerprints(&self, server: &Server) -> Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("keys");
        std::fs::write(&file, self.lines(server))?;
        let spec = Spec::new(&super::find("ssh-keygen")?).arg("-lf").arg(&file);
        let finished = tool::run(spec, DEADLINE).await?;
        let text = String::from_utf8_lossy(&finished.stdout);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// What is pinned for `server`; `None` when nothing is.
    pub fn pinned(file: &Path, server: &Server) -> Result<Option<Self>> {
        let text = read(file)?;
        let entry = server.entry();
        let own: Vec<_> = text.lines().filter(|line| names(line, &entry)).collect();
        Ok((!own.is_empty()).then(|| Self(parse(&own.join("\n")))))
    }

    /// Replaces what is pinned for `server`; other servers' lines stay.
    pub fn pin(&self, file: &Path, server: &Server) -> Result<()> {
        let entry = server.entry();
        let mut text: String = read(file)?
            .lines()
            .filter(|line| !is_of(line, &entry))
            .flat_map(|line| [line, "\n"])
            .collect();
        text.push_str(&self.lines(server));
        files::write(file, text.as_bytes())
    }

    /// Our own file, so that no other tool removes it.
    pub fn file(home: &Path) -> PathBuf {
        super::folder(home).join("kopi-docka_known_hosts")
    }

    fn lines(&self, server: &Server) -> String {
        let entry = server.entry();
        let lines = self.0.iter().map(|key| format!("{entry} {key}\n"));
        lines.collect()
    }
}

/// A line of the operator's may have several names.
fn names(line: &str, entry: &str) -> bool {
    let hosts = line.split_whitespace().next();
    hosts.is_some_and(|hosts| hosts.split(',').any(|host| host == entry))
}

fn is_of(line: &str, entry: &str) -> bool {
    line.split_whitespace().next() == Some(entry)
}

fn read(file: &Path) -> Result<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            let what = format!("cannot read `{}`", file.display());
            Err(Failure::new(Exit::Config, what).caused_by(error).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    const SCANNED: &str = "# nas:22 SSH-2.0-OpenSSH_9.2p1\n\
        nas ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ\n\
        nas ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKn\n\
        nas ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlz\n";

    fn server(host: &str) -> Server {
        Server {
            host: host.to_owned(),
            port: 22,
            user: "me".to_owned(),
        }
    }

    #[test]
    fn every_type_is_pinned_and_other_servers_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known");
        let keys = HostKeys(parse(SCANNED));
        keys.pin(&file, &server("other")).unwrap();
        keys.pin(&file, &server("nas")).unwrap();
        let newer = HostKeys(parse("nas ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAInew"));
        newer.pin(&file, &server("nas")).unwrap();
        let pinned = |host: &str| HostKeys::pinned(&file, &server(host)).unwrap();
        assert_eq!(pinned("nas"), Some(newer));
        assert_eq!(pinned("other"), Some(keys));
        assert_eq!(pinned("third"), None);
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 4);
        let several = "third,100.64.0.2 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKn\n";
        std::fs::write(&file, several).unwrap();
        assert!(pinned("third").is_some() && pinned("100.64.0.2").is_some());
    }

    #[test]
    fn what_is_no_key_is_dropped() {
        assert_eq!(parse(SCANNED).len(), 3);
        for line in [
            "nas",
            "nas ssh-rsa",
            "nas ssh-rsa \u{1b}[31mAAAAB3NzaC1yc2EAAAADAQ",
            "nas ssh-rsa ../../../../../../../..",
            "# nas ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ",
        ] {
            assert!(parse(line).is_empty(), "{line:?}");
        }
    }

    proptest! {
        /// What goes into a file of known hosts is a type and a key, whatever the server sent.
        #[test]
        fn a_server_puts_nothing_but_keys_into_known_hosts(text in damaged_text(SCANNED)) {
            for key in parse(&text) {
                let words: Vec<&str> = key.split(' ').collect();
                prop_assert_eq!(words.len(), 2);
                prop_assert!(key.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{}", key);
            }
        }
    }
}
