//! What others on this host have that the unit needs: ports, addresses, names.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use super::ports::{Listener, Published};
use crate::base::text::printable;
use crate::discovery::labels;
use crate::drivers::docker::json::Json as _;
use crate::points::saved::{Saved, container_name, endpoints, fixed_addresses, text, texts};

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Who has what.
    pub what: String,
    pub remedy: String,
    /// The start would fail for certain.
    pub is_certain: bool,
}

impl Conflict {
    pub fn certain(what: String, remedy: String) -> Self {
        Self {
            what,
            remedy,
            is_certain: true,
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// What is here and is not the unit's own.
pub struct Others {
    /// As `docker ps --all` knows them.
    pub containers: Vec<Value>,
    /// Ports that processes of the host listen on, those of containers and of the unit left out.
    pub listeners: Vec<Listener>,
    /// Names of containers that are restored in the same go.
    pub coming: BTreeSet<String>,
}

impl Others {
    pub fn has_name(&self, name: &str) -> bool {
        self.containers
            .iter()
            .any(|other| names(other).any(|taken| taken == name))
    }

    /// By name or id.
    pub fn knows(&self, name: &str) -> bool {
        let has_id = |other: &Value| text(other.at("Id")).starts_with(name);
        self.has_name(name) || self.coming.contains(name) || self.containers.iter().any(has_id)
    }
}

pub fn find(saved: &Saved, others: &Others) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for container in &saved.containers {
        let name = container_name(container);
        if let Some(other) = others
            .containers
            .iter()
            .find(|other| names(other).any(|taken| taken == name))
        {
            conflicts.push(Conflict::certain(
                format!(
                    "the name `{}` is taken by {}",
                    printable(name),
                    owner(other)
                ),
                format!("`docker rename` or `docker rm` that one ({})", id(other)),
            ));
        }
        for port in Published::of_saved(container) {
            conflicts.extend(port_conflict(name, &port, others));
        }
        for (network, endpoint) in endpoints(container) {
            for address in fixed_addresses(endpoint) {
                conflicts.extend(address_conflict(name, network, address, others));
            }
        }
    }
    conflicts
}

fn port_conflict(name: &str, port: &Published, others: &Others) -> Option<Conflict> {
    let what = |holder: String| {
        format!(
            "container `{}` publishes {port}, which {holder} has",
            printable(name)
        )
    };
    let in_docker = others
        .containers
        .iter()
        .find(|other| Published::of_listed(other).any(|taken| taken.collides(port)));
    if let Some(other) = in_docker {
        return Some(Conflict::certain(
            what(owner(other)),
            format!(
                "`docker stop {}`, or give one of them another port",
                display_name(other)
            ),
        ));
    }
    let listener = others
        .listeners
        .iter()
        .find(|listener| listener.port.collides(port))?;
    Some(Conflict::certain(
        what(listener.process()),
        "stop it, or give one of them another port".to_owned(),
    ))
}

fn address_conflict(name: &str, network: &str, address: &str, others: &Others) -> Option<Conflict> {
    let wanted: IpAddr = address.parse().ok()?;
    let is_it = |text: &str| text.parse() == Ok(wanted);
    others.containers.iter().find_map(|other| {
        let endpoint = other.at("NetworkSettings").at("Networks").at(network);
        let has_now = ["IPAddress", "GlobalIPv6Address"]
            .iter()
            .any(|key| is_it(text(endpoint.at(key))));
        let wants_too = fixed_addresses(endpoint).any(is_it);
        (has_now || wants_too).then(|| Conflict {
            what: format!(
                "container `{}` needs the address {wanted} on network `{}`, which is that of {}",
                printable(name),
                printable(network),
                owner(other)
            ),
            remedy: format!(
                "`docker stop {}`, or give one of them another address",
                display_name(other)
            ),
            is_certain: has_now,
        })
    })
}

fn names(listed: &Value) -> impl Iterator<Item = &str> {
    texts(listed.at("Names")).map(|name| name.trim_start_matches('/'))
}

/// Of a container in the list: whether it is one of the unit's.
pub fn is_of_unit(listed: &Value, unit: &str, is_stack: bool) -> bool {
    let project = text(listed.at("Labels").at(labels::PROJECT));
    if is_stack {
        project == unit
    } else {
        project.is_empty() && names(listed).any(|name| name == unit)
    }
}

fn display_name(listed: &Value) -> String {
    printable(names(listed).next().unwrap_or_default())
}

fn id(listed: &Value) -> String {
    text(listed.at("Id")).chars().take(12).collect()
}

/// ``container `web` of unit `shop` ``
fn owner(listed: &Value) -> String {
    let name = display_name(listed);
    match text(listed.at("Labels").at(labels::PROJECT)) {
        "" => format!("container `{name}`"),
        project => format!("container `{name}` of unit `{}`", printable(project)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn saved() -> Saved {
        Saved {
            containers: vec![json!({
                "Name": "/c",
                "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}},
                "NetworkSettings": {"Networks": {"n": {"IPAMConfig": {"IPv4Address": "10.1.0.7"}}}}
            })],
            ..Saved::default()
        }
    }

    #[test]
    fn each_conflict_names_who_has_it() {
        let others = Others {
            containers: vec![
                json!({"Id": "aa", "Names": ["/c"], "Labels": {"com.docker.compose.project": "shop"}}),
                json!({"Id": "bb", "Names": ["/web"], "Labels": {}, "Ports": [{"IP": "127.0.0.1", "PublicPort": 8080, "PrivatePort": 1, "Type": "tcp"}]}),
                json!({"Id": "cc", "Names": ["/dns"], "Labels": {}, "NetworkSettings": {"Networks": {"n": {"IPAddress": "10.1.0.7"}}}}),
            ],
            listeners: vec![Listener::parsed("udp", "127.0.0.1:53", Some("dnsmasq"))],
            coming: BTreeSet::new(),
        };
        let found: Vec<String> = find(&saved(), &others)
            .iter()
            .map(|conflict| conflict.what.clone())
            .collect();
        assert_eq!(
            found,
            [
                "the name `c` is taken by container `c` of unit `shop`",
                "container `c` publishes 8080/tcp, which container `web` has",
                "container `c` publishes 127.0.0.1:53/udp, which process `dnsmasq` has",
                "container `c` needs the address 10.1.0.7 on network `n`, which is that of container `dns`",
            ]
        );
    }

    #[test]
    fn an_address_that_a_stopped_container_wants_too_is_not_certain() {
        let others = Others {
            containers: vec![
                json!({"Id": "cc", "Names": ["/dns"], "NetworkSettings": {"Networks": {"n": {"IPAddress": "", "IPAMConfig": {"IPv4Address": "10.1.0.7"}}}}}),
            ],
            listeners: Vec::new(),
            coming: BTreeSet::new(),
        };
        let found = find(&saved(), &others);
        assert!(found.len() == 1 && !found[0].is_certain, "{found:?}");
        let elsewhere = Others {
            containers: vec![
                json!({"Id": "cc", "Names": ["/dns"], "NetworkSettings": {"Networks": {"other": {"IPAddress": "10.1.0.7"}}}, "Ports": [{"PrivatePort": 8080, "Type": "tcp"}]}),
            ],
            listeners: vec![Listener::parsed("tcp", "127.0.0.1:53", None)],
            coming: BTreeSet::new(),
        };
        assert_eq!(find(&saved(), &elsewhere), []);
    }
}
