//! `tailscale status --json`. Fields as of Tailscale 1.96.5.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::base::text::printable;
use crate::drivers::tool::{self, Finished, Spec};
use crate::error::{Exit, Failure, Result};

const DEADLINE: Duration = Duration::from_secs(15);

/// The peers of a tailnet that this host is part of.
#[derive(Debug)]
pub struct Tailnet {
    pub peers: Vec<Peer>,
    /// Who is online is only what was known when the control server last answered.
    pub is_outdated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// As its owner called it: for people.
    pub name: String,
    /// Its name in MagicDNS; `None` when the tailnet has none, or it is no name of a host.
    pub dns_name: Option<String>,
    pub address: IpAddr,
    pub is_online: bool,
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
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CurrentTailnet {
    #[serde(default, rename = "MagicDNSEnabled")]
    magic_dns_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    host_name: String,
    #[serde(default, rename = "DNSName")]
    dns_name: String,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<String>>,
    #[serde(default)]
    online: bool,
}

/// The tailnet, or why there is none to choose from.
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
    check_state(&status.backend_state)?;
    let has_names = status
        .current_tailnet
        .is_some_and(|tailnet| tailnet.magic_dns_enabled);
    let peers: Vec<_> = status
        .peer
        .unwrap_or_default()
        .into_values()
        .filter_map(|listed| peer(listed, has_names))
        .collect();
    if peers.is_empty() {
        return Err(unusable(
            "this host is alone in its tailnet",
            "run `sudo tailscale up` on the machine that shall hold the repository",
        ));
    }
    Ok(Tailnet {
        peers,
        is_outdated: !status.this.is_some_and(|this| this.online),
    })
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
    let addresses = listed.addresses.unwrap_or_default();
    let address = addresses.iter().find_map(|text| text.parse().ok())?;
    let dns_name = listed.dns_name.trim_end_matches('.');
    Some(Peer {
        name: listed.host_name,
        dns_name: (has_names && is_host_name(dns_name)).then(|| dns_name.to_owned()),
        address,
        is_online: listed.online,
    })
}

fn is_host_name(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    !text.is_empty() && !text.starts_with(['-', '.']) && text.bytes().all(is_allowed)
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
        let error = running(|document| document["Peer"] = serde_json::Value::Null).unwrap_err();
        assert!(render(&error).contains("alone in its tailnet"));
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
