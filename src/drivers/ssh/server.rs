//! Where a server is, and how one logs in.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    pub user: String,
}

/// Our key at a server whose host keys are pinned.
#[derive(Clone, Debug)]
pub struct Login {
    pub server: Server,
    pub key: PathBuf,
    pub known_hosts: PathBuf,
}

/// Whether anything takes a connection at `port` of `host` in time.
pub async fn listens(host: &str, port: u16, limit: Duration) -> bool {
    let connecting = TcpStream::connect((host, port));
    tokio::time::timeout(limit, connecting)
        .await
        .is_ok_and(|connected| connected.is_ok())
}

impl Server {
    /// An IPv6 address in brackets, as in addresses with a port.
    pub fn bracketed(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        }
    }

    /// As a file of known hosts names it.
    pub fn entry(&self) -> String {
        if self.port == 22 {
            self.host.clone()
        } else {
            format!("[{}]:{}", self.host, self.port)
        }
    }
}

impl Login {
    /// Nothing but the pinned host keys counts.
    pub fn pinned(&self) -> Vec<OsString> {
        let mut known = OsString::from("UserKnownHostsFile=");
        // Several files may be named there, with escapes; ours is one.
        let file = self.known_hosts.to_string_lossy();
        let file = file.replace('\\', "\\\\").replace('"', "\\\"");
        known.push(format!("\"{}\"", file.replace('%', "%%")));
        options([
            known,
            "GlobalKnownHostsFile=/dev/null".into(),
            "StrictHostKeyChecking=yes".into(),
            "UpdateHostKeys=no".into(),
            "ConnectTimeout=10".into(),
            format!("User={}", self.server.user).into(),
            format!("Port={}", self.server.port).into(),
        ])
    }

    /// As Kopia will: our key only, without prompts.
    pub fn alone(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["-F".into(), "/dev/null".into()];
        words.extend(self.pinned());
        words.extend(options([
            "BatchMode=yes".into(),
            "IdentitiesOnly=yes".into(),
            "IdentityAgent=none".into(),
            "PreferredAuthentications=publickey".into(),
        ]));
        words.push("-i".into());
        words.push(self.key.clone().into());
        words
    }
}

pub fn options(options: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let words = options.into_iter().flat_map(|option| ["-o".into(), option]);
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_its_own_and_an_ipv6_address_are_written_as_each_reader_wants_them() {
        let server = |host: &str, port| Server {
            host: host.to_owned(),
            port,
            user: "me".to_owned(),
        };
        assert_eq!(server("nas", 22).entry(), "nas");
        assert_eq!(server("nas", 2222).entry(), "[nas]:2222");
        assert_eq!(server("::1", 2222).entry(), "[::1]:2222");
        assert_eq!(server("::1", 22).entry(), "::1");
        assert_eq!(server("::1", 22).bracketed(), "[::1]");
        assert_eq!(server("nas", 22).bracketed(), "nas");
    }
}
