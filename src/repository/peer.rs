//! The machine of the tailnet that holds the repository: which one it was when it was chosen, and what the tailnet says of it now.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::paths::Paths;
use crate::base::text::{self, printable};
use crate::config::KopiaParams;
use crate::drivers::tailscale::{self, Peer, Tailnet, is_of_tailscale};
use crate::error::Result;

/// What Tailscale gives its own names.
const TS_NET: &str = ".ts.net";

/// A machine as it was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Another machine never has it, however it is called.
    pub id: String,
    /// As its owner called it.
    pub name: String,
}

/// By the name or the address that the configuration has.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    peers: BTreeMap<String, Known>,
}

/// What the tailnet says of the machine that holds the repository.
#[derive(Debug)]
pub struct Sight {
    /// In the configuration.
    pub host: String,
    pub known: Option<Known>,
    pub tailnet: Result<Tailnet>,
}

impl Sight {
    /// `None` for a repository that is in no tailnet.
    pub async fn of(paths: &Paths, params: &KopiaParams) -> Option<Self> {
        let host = params.ssh_host()?;
        let known = known(paths, &host);
        let is_certain = known.is_some() || is_of_a_tailnet(&host);
        let tailnet = match tailscale::tailnet().await {
            Ok(tailnet) if is_certain || tailnet.has(&host) => Ok(tailnet),
            Err(error) if is_certain => Err(error),
            _ => return None,
        };
        Some(Self {
            host,
            known,
            tailnet,
        })
    }

    pub fn peer(&self) -> Option<&Peer> {
        self.tailnet.as_ref().ok()?.peer(&self.host)
    }

    /// Another machine than the one that was chosen has its name or address.
    pub fn replaced(&self) -> Option<(&Known, &Peer)> {
        let (known, peer) = (self.known.as_ref()?, self.peer()?);
        (known.id != peer.id).then_some((known, peer))
    }

    /// Why the machine cannot be reached, as far as the tailnet knows: a sentence, and what to do.
    pub fn obstacle(&self) -> Option<(String, String)> {
        let host = printable(&self.host);
        let tailnet = match &self.tailnet {
            Ok(tailnet) => tailnet,
            Err(error) => {
                let hints = crate::error::hints_of(error);
                return Some((format!("{error:#}"), hints.join("; ")));
            }
        };
        let Some(peer) = self.peer() else {
            return Some((
                format!("no machine of this tailnet is called `{host}`"),
                "check `tailscale status`: it may have been renamed or removed; `kopi-docka new-config` chooses another one"
                    .to_owned(),
            ));
        };
        let name = printable(&peer.name);
        if peer.is_expired {
            return Some((
                format!("the key of `{name}` in the tailnet has expired"),
                format!("log in again on `{name}`: `sudo tailscale up --force-reauth`"),
            ));
        }
        // Of an old list it is not certain.
        if peer.is_online || tailnet.is_outdated {
            return None;
        }
        let seen = seen(peer.last_seen, Utc::now());
        Some((
            format!("`{name}` is offline in the tailnet, {seen}"),
            format!("switch `{name}` on, or see why Tailscale does not run there"),
        ))
    }
}

fn seen(last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    match last {
        Some(at) => format!(
            "last seen {} ago ({})",
            text::age(at, now),
            text::minute(at)
        ),
        None => "and it is not known since when".to_owned(),
    }
}

/// Without asking anybody.
fn is_of_a_tailnet(host: &str) -> bool {
    host.trim_end_matches('.').to_lowercase().ends_with(TS_NET)
        || host.parse().is_ok_and(is_of_tailscale)
}

fn known(paths: &Paths, host: &str) -> Option<Known> {
    let text = std::fs::read(paths.peer()).ok()?;
    // A damaged one is as good as none: the next choice writes it anew.
    let mut remembered: Remembered = serde_json::from_slice(&text).ok()?;
    remembered.peers.remove(host)
}

/// From now on it is `peer` that is meant by `host`.
pub fn remember(paths: &Paths, host: &str, peer: &Peer) -> Result<()> {
    let file = paths.peer();
    let text = std::fs::read(&file).unwrap_or_default();
    let mut remembered: Remembered = serde_json::from_slice(&text).unwrap_or_default();
    let known = Known {
        id: peer.id.clone(),
        name: peer.name.clone(),
    };
    remembered.peers.insert(host.to_owned(), known);
    files::write(&file, &serde_json::to_vec_pretty(&remembered)?)
        .context("the machine of the tailnet could not be remembered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_a_tailnet_is_known_by_its_name_or_address() {
        for host in ["nas.tail1234.ts.net", "NAS.tail1234.ts.net.", "100.64.0.2"] {
            assert!(is_of_a_tailnet(host), "{host}");
        }
        for host in ["nas.example.org", "192.168.0.2", "ts.net", "nas"] {
            assert!(!is_of_a_tailnet(host), "{host}");
        }
    }

    #[test]
    fn when_a_machine_was_seen_is_told() {
        let now: DateTime<Utc> = "2026-01-02T12:00:00Z".parse().unwrap();
        let at = "2026-01-02T09:00:00Z".parse().ok();
        assert_eq!(seen(at, now), "last seen 3 h ago (2026-01-02 09:00 UTC)");
        assert!(seen(None, now).contains("not known"));
    }

    #[test]
    fn a_machine_is_remembered_by_what_the_configuration_calls_it() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: folder.path().join("state"),
            ..Paths::standard()
        };
        assert_eq!(known(&paths, "nas"), None);
        std::fs::create_dir(&paths.state).unwrap();
        std::fs::write(paths.peer(), "{").unwrap();
        assert_eq!(known(&paths, "nas"), None);
        let peer = tailscale::testing::peer("7", "nas");
        remember(&paths, "nas", &peer).unwrap();
        remember(
            &paths,
            "100.64.0.2",
            &tailscale::testing::peer("8", "other"),
        )
        .unwrap();
        assert_eq!(known(&paths, "nas").unwrap().id, "7");
        assert_eq!(known(&paths, "100.64.0.2").unwrap().id, "8");
    }
}
