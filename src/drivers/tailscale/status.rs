//! `tailscale status --json`. Fields as of Tailscale 1.96.5.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Utc};
use serde::Deserialize;

use crate::base::text::printable;
use crate::drivers::tool::{self, Finished, Spec};
use crate::error::{Exit, Failure, Result};

const DEADLINE: Duration = Duration::from_secs(15);

/// A tailnet that this host is part of.
#[derive(Debug)]
pub struct Tailnet {
    pub peers: Vec<Peer>,
    /// Who is online is only what was known when the control server last answered.
    pub is_outdated: bool,
    /// What names in it end with, such as `tail1234.ts.net`.
    suffix: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Stays when it logs in again or gets another key; another machine never has it.
    pub id: String,
    /// As its owner called it: for people.
    pub name: String,
    /// Its name in MagicDNS; `None` when the tailnet has none, or it is no name of a host.
    pub dns_name: Option<String>,
    pub address: IpAddr,
    addresses: Vec<IpAddr>,
    pub is_online: bool,
    /// Its key is no longer valid: its owner has to log in there again.
    pub is_expired: bool,
    /// `None` where it is online, and where the control server never said.
    pub last_seen: Option<DateTime<Utc>>,
    /// Something that can serve files: no telephone, no exit node of a provider, no user who only shares something.
    pub can_be_target: bool,
}

impl Tailnet {
    /// Whether `host` is a name or an address in it, whoever has it.
    pub fn has(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let suffix = self.suffix.trim_end_matches('.').to_lowercase();
        (!suffix.is_empty() && host.ends_with(&format!(".{suffix}")))
            || host.parse().is_ok_and(is_of_tailscale)
            || self.peer(&host).is_some()
    }

    /// The one that is reached as `host`: a name in MagicDNS, with its domain or without, or an address.
    pub fn peer(&self, host: &str) -> Option<&Peer> {
        let host = host.trim_end_matches('.').to_lowercase();
        self.peers.iter().find(|peer| {
            let is_named = peer.dns_name.as_deref().is_some_and(|name| {
                let name = name.to_lowercase();
                name == host || name.split('.').next() == Some(host.as_str())
            });
            is_named || host.parse().is_ok_and(|ip| peer.addresses.contains(&ip))
        })
    }
}

/// Addresses that Tailscale gives to machines (its documentation, "IP address pool").
pub fn is_of_tailscale(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(address) => address.segments().starts_with(&[0xfd7a, 0x115c, 0xa1e0]),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    backend_state: String,
    #[serde(rename = "Self")]
    this: Option<This>,
    current_tailnet: Option<CurrentTailnet>,
    peer: Option<BTreeMap<String, Listed>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct This {
    #[serde(default)]
    online: bool,
    #[serde(default)]
    expired: bool,
    key_expiry: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CurrentTailnet {
    #[serde(default, rename = "MagicDNSEnabled")]
    magic_dns_enabled: bool,
    #[serde(default, rename = "MagicDNSSuffix")]
    suffix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default)]
    host_name: String,
    #[serde(default, rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<String>>,
    #[serde(default)]
    online: bool,
    #[serde(default)]
    expired: bool,
    #[serde(default, rename = "OS")]
    os: String,
    last_seen: Option<DateTime<Utc>>,
    #[serde(default)]
    sharee_node: bool,
    #[serde(default)]
    exit_node_option: bool,
    tags: Option<Vec<String>>,
}

/// The tailnet, or why this host has none.
pub async fn tailnet() -> Result<Tailnet> {
    let spec = Spec::new(&super::find()?).args(["status", "--json"]);
    let finished = tool::run(spec, DEADLINE).await?;
    read(&finished)
}

fn read(finished: &Finished) -> Result<Tailnet> {
    if !finished.ended.status.success() {
        return Err(no_daemon(&finished.ended.stderr));
    }
    let status: Status = serde_json::from_slice(&finished.stdout).map_err(|error| {
        let what = "the answer of `tailscale status --json` is not what this version knows";
        Failure::new(Exit::Program, what).caused_by(error)
    })?;
    let this = status.this;
    if this.as_ref().is_some_and(This::is_expired) {
        return Err(unusable(
            "the key of this host in its tailnet has expired",
            "run `sudo tailscale up --force-reauth` and log in again, or switch key expiry off for it in the admin console",
        ));
    }
    check_state(&status.backend_state)?;
    let tailnet = status.current_tailnet;
    let has_names = tailnet.as_ref().is_some_and(|it| it.magic_dns_enabled);
    let peers = status.peer.unwrap_or_default().into_values();
    Ok(Tailnet {
        peers: peers.filter_map(|listed| peer(listed, has_names)).collect(),
        is_outdated: !this.is_some_and(|this| this.online),
        suffix: tailnet.map(|it| it.suffix).unwrap_or_default(),
    })
}

impl This {
    fn is_expired(&self) -> bool {
        self.expired || self.key_expiry.is_some_and(|until| until < Utc::now())
    }
}

fn no_daemon(stderr: &str) -> anyhow::Error {
    let failure = Failure::new(Exit::Program, "Tailscale's daemon does not answer")
        .hint("run `sudo systemctl enable --now tailscaled`, then `sudo tailscale up`");
    match stderr.lines().last() {
        Some(said) => failure
            .note(format!("tailscale said: {}", printable(said)))
            .into(),
        None => failure.into(),
    }
}

fn check_state(state: &str) -> Result<()> {
    match state {
        "Running" => Ok(()),
        "Stopped" => Err(unusable("Tailscale is stopped", "run `sudo tailscale up`")),
        "NeedsLogin" | "NoState" => Err(unusable(
            "this host is not logged in to a tailnet",
            "run `sudo tailscale up` and open the address that it prints",
        )),
        "NeedsMachineAuth" => Err(unusable(
            "this host waits to be let into its tailnet",
            "approve it in the admin console of your tailnet",
        )),
        "Starting" => Err(unusable(
            "Tailscale is still starting",
            "wait a moment, then try again",
        )),
        other => Err(unusable(
            &format!("Tailscale is in the state `{}`", printable(other)),
            "check `tailscale status`",
        )),
    }
}

fn unusable(what: &str, remedy: &str) -> anyhow::Error {
    Failure::new(Exit::Program, what).hint(remedy).into()
}

/// `None` for one without an address. IPv4 first, as Tailscale itself lists them.
fn peer(listed: Listed, has_names: bool) -> Option<Peer> {
    let can_be_target = listed.can_be_target();
    let addresses = listed.addresses.unwrap_or_default();
    let addresses: Vec<IpAddr> = addresses
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let dns_name = listed.dns_name.trim_end_matches('.');
    Some(Peer {
        id: listed.id,
        name: listed.host_name,
        dns_name: (has_names && is_host_name(dns_name)).then(|| dns_name.to_owned()),
        address: *addresses.first()?,
        addresses,
        is_online: listed.online,
        is_expired: listed.expired,
        // What was never said is told as the year 1.
        last_seen: listed
            .last_seen
            .filter(|at| !listed.online && at.year() > 1),
        can_be_target,
    })
}

impl Listed {
    fn can_be_target(&self) -> bool {
        let is_of_a_provider = self.exit_node_option
            && self
                .tags
                .iter()
                .flatten()
                .any(|tag| tag.contains("mullvad"));
        let is_a_telephone = matches!(
            self.os.to_lowercase().as_str(),
            "ios" | "ipados" | "android" | "tvos"
        );
        !self.sharee_node && !is_of_a_provider && !is_a_telephone
    }
}

fn is_host_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    !text.is_empty() && !text.starts_with(['-', '.']) && text.bytes().all(is_allowed)
}

#[cfg(test)]
pub mod testing {
    use super::Peer;

    /// One that is online.
    pub fn peer(id: &str, name: &str) -> Peer {
        let address = "100.64.0.1".parse().unwrap();
        Peer {
            id: id.to_owned(),
            name: name.to_owned(),
            dns_name: None,
            address,
            addresses: vec![address],
            is_online: true,
            is_expired: false,
            last_seen: None,
            can_be_target: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::base::testing::odd;
    use proptest::prelude::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;
    use crate::drivers::tool::Ended;
    use crate::error::render;

    fn answer(code: i32, stdout: &str, stderr: &str) -> Finished {
        Finished {
            ended: Ended {
                display: "tailscale status …".to_owned(),
                status: ExitStatus::from_raw(code << 8),
                stderr: stderr.to_owned(),
            },
            stdout: stdout.as_bytes().to_owned(),
        }
    }

    /// Recorded from Tailscale 1.96.5.
    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!("../../../tests/data/tailscale-1.96.5/", $name))
        };
    }

    fn running(change: impl Fn(&mut serde_json::Value)) -> Result<Tailnet> {
        let mut document: serde_json::Value =
            serde_json::from_str(recorded!("running-2-peers-one-offline.json")).unwrap();
        change(&mut document);
        read(&answer(0, &document.to_string(), ""))
    }

    /// The peer `node2`.
    fn node2(document: &mut serde_json::Value) -> &mut serde_json::Value {
        let peers = document["Peer"].as_object_mut().unwrap();
        let mut peers = peers.values_mut();
        peers.find(|peer| peer["HostName"] == "node2").unwrap()
    }

    fn found(tailnet: &Tailnet, address: &str) -> Peer {
        let address: IpAddr = address.parse().unwrap();
        let mut peers = tailnet.peers.iter();
        peers.find(|peer| peer.address == address).unwrap().clone()
    }

    #[test]
    fn peers_are_addressed_by_their_name_in_magic_dns() {
        let tailnet = running(|_| {}).unwrap();
        assert!(!tailnet.is_outdated);
        assert_eq!(tailnet.peers.len(), 2);
        let node2 = found(&tailnet, "100.64.0.2");
        assert_eq!(node2.dns_name.as_deref(), Some("node2.tail.test"));
        assert!(node2.is_online);
        assert!(!found(&tailnet, "100.64.0.3").is_online);
    }

    #[test]
    fn a_peer_is_found_by_each_of_its_names_and_addresses() {
        let tailnet = running(|_| {}).unwrap();
        for host in [
            "node2.tail.test",
            "NODE2.tail.test.",
            "node2",
            "100.64.0.2",
            "fd7a:115c:a1e0::2",
        ] {
            assert_eq!(tailnet.peer(host).unwrap().id, "2", "{host}");
            assert!(tailnet.has(host));
        }
        assert!(tailnet.has("gone.tail.test") && tailnet.has("100.100.1.1"));
        assert!(tailnet.peer("gone.tail.test").is_none());
        for host in ["nas.example.org", "192.168.1.2", "100.63.0.1", "tail.test"] {
            assert!(!tailnet.has(host), "{host}");
        }
    }

    #[test]
    fn what_can_serve_no_files_is_no_target_and_a_peer_tells_when_it_was_seen() {
        let with = |key: &str, value: serde_json::Value| {
            let tailnet = running(|document| node2(document)[key] = value.clone()).unwrap();
            found(&tailnet, "100.64.0.2")
        };
        assert!(with("OS", "linux".into()).can_be_target);
        assert!(!with("OS", "iOS".into()).can_be_target);
        assert!(!with("ShareeNode", true.into()).can_be_target);
        assert!(with("Expired", true.into()).is_expired);
        let tailnet = running(|document| {
            node2(document)["Online"] = false.into();
            node2(document)["LastSeen"] = "2026-11-21T03:49:01Z".into();
        });
        let seen = found(&tailnet.unwrap(), "100.64.0.2").last_seen.unwrap();
        assert_eq!(seen.to_rfc3339(), "2026-11-21T03:49:01+00:00");
        let never = running(|document| node2(document)["Online"] = false.into()).unwrap();
        assert_eq!(found(&never, "100.64.0.2").last_seen, None);
    }

    #[test]
    fn without_magic_dns_the_address_is_left() {
        let tailnet = running(|document| {
            document["CurrentTailnet"]["MagicDNSEnabled"] = false.into();
        });
        assert_eq!(found(&tailnet.unwrap(), "100.64.0.2").dns_name, None);
    }

    #[test]
    fn a_hostile_name_never_becomes_a_word_of_a_command() {
        for name in ["-oProxyCommand=x.", "a b.", "a\nb.", "\u{1b}[2J.", "$(x)."] {
            let tailnet = running(|document| {
                node2(document)["DNSName"] = name.into();
                node2(document)["TailscaleIPs"] = serde_json::json!(["-x", "100.64.0.9"]);
            });
            let peer = found(&tailnet.unwrap(), "100.64.0.9");
            assert_eq!(peer.dns_name, None, "{name:?}");
        }
    }

    #[test]
    fn every_state_without_peers_has_its_remedy() {
        let states = [
            (recorded!("stopped.json"), "is stopped", "tailscale up"),
            (
                recorded!("needs-login.json"),
                "not logged in",
                "open the address",
            ),
        ];
        for (json, what, remedy) in states {
            let error = render(&read(&answer(0, json, "")).unwrap_err());
            assert!(error.contains(what) && error.contains(remedy), "{error}");
        }
        let error = read(&answer(1, "", recorded!("daemon-not-running.stderr"))).unwrap_err();
        let error = render(&error);
        assert!(error.contains("daemon does not answer"), "{error}");
        assert!(
            error.contains("systemctl enable --now tailscaled"),
            "{error}"
        );
        let alone = running(|document| document["Peer"] = serde_json::Value::Null).unwrap();
        assert_eq!(alone.peers, []);
        for change in [
            ("Expired", serde_json::json!(true)),
            ("KeyExpiry", serde_json::json!("2020-01-01T00:00:00Z")),
        ] {
            let expired = running(|document| document["Self"][change.0] = change.1.clone());
            let error = render(&expired.unwrap_err());
            assert!(
                error.contains("has expired") && error.contains("--force-reauth"),
                "{error}"
            );
        }
        let error = running(|document| document["BackendState"] = "\u{1b}x".into()).unwrap_err();
        assert!(!render(&error).contains('\u{1b}'));
    }

    #[test]
    fn a_control_server_that_is_down_makes_the_list_an_old_one() {
        let json = recorded!("control-server-down.json");
        let tailnet = read(&answer(0, json, "")).unwrap();
        assert!(tailnet.is_outdated);
        assert_eq!(tailnet.peers.len(), 2);
    }

    proptest! {
        /// Peers choose their names themselves.
        #[test]
        fn no_status_breaks_it(
            status in odd(serde_json::from_str(include_str!("../../../tests/data/tailscale-1.96.5/running-2-peers-one-offline.json")).unwrap()),
        ) {
            let _ = read(&answer(0, &status.to_string(), ""));
        }
    }
}
