//! Containers that backups themselves need: the one that this program runs in, and those that serve the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::rules::{Endpoint, Rules};
use super::scene::Scene;
use crate::drivers::docker::{ContainerInspectResponse, Inventory};
use crate::model::unit::Role;

/// For the name of the repository's server.
const PATIENCE: Duration = Duration::from_secs(2);

pub type Roles = BTreeMap<String, Role>;

/// The roles of the host's containers, by id.
pub async fn find(inventory: &Inventory, rules: &Rules) -> Roles {
    let mut roles = Roles::new();
    if let Some(endpoint) = &rules.endpoint {
        let addresses = addresses(endpoint).await;
        let serving = inventory
            .containers
            .iter()
            .filter(|raw| serves(raw, &addresses));
        roles.extend(serving.filter_map(|raw| Some((raw.id.clone()?, Role::Repository))));
    }
    let hints = Hints::read();
    let own = inventory
        .containers
        .iter()
        .filter_map(|raw| raw.id.as_ref())
        .filter(|id| hints.mean(id));
    roles.extend(own.map(|id| (id.clone(), Role::Own)));
    roles
}

pub fn mark(scene: &mut Scene, roles: &Roles) {
    for container in &mut scene.containers {
        container.standing.role = roles.get(&container.id).copied();
    }
}

async fn addresses(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let name = (endpoint.host.as_str(), endpoint.port);
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host(name)).await {
        Ok(Ok(found)) => found.collect(),
        _ => Vec::new(),
    }
}

/// Whether it is at one of `addresses`: by its own address, or by a port that it publishes or opens on this host.
fn serves(raw: &ContainerInspectResponse, addresses: &[SocketAddr]) -> bool {
    let is_running = raw
        .state
        .as_ref()
        .and_then(|state| state.running)
        .unwrap_or_default();
    if !is_running {
        return false;
    }
    let own = own_addresses(raw);
    let ports = host_ports(raw);
    addresses.iter().any(|address| {
        own.contains(&address.ip())
            || (ports.contains(&address.port()) && is_of_this_host(address.ip()))
    })
}

fn own_addresses(raw: &ContainerInspectResponse) -> BTreeSet<IpAddr> {
    raw.network_settings
        .iter()
        .flat_map(|settings| settings.networks.iter().flatten())
        .flat_map(|(_, network)| [&network.ip_address, &network.global_ipv6_address])
        .filter_map(|address| address.as_deref()?.parse().ok())
        .collect()
}

/// Ports of this host that lead to it.
fn host_ports(raw: &ContainerInspectResponse) -> BTreeSet<u16> {
    let published = raw
        .network_settings
        .iter()
        .flat_map(|settings| settings.ports.iter().flatten())
        .flat_map(|(_, bindings)| bindings.iter().flatten())
        .filter_map(|binding| binding.host_port.as_deref()?.parse().ok());
    let is_on_host = raw
        .host_config
        .as_ref()
        .and_then(|host| host.network_mode.as_deref())
        == Some("host");
    // `9000/tcp`
    let exposed = raw
        .config
        .iter()
        .filter(|_| is_on_host)
        .flat_map(|config| config.exposed_ports.iter().flatten())
        .filter_map(|port| port.split('/').next()?.parse().ok());
    published.chain(exposed).collect()
}

/// Only an address of this host can be bound to.
fn is_of_this_host(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

/// What `/proc` and the host's name tell of a container that this process may be in.
#[derive(Debug, Default)]
struct Hints {
    ids: BTreeSet<String>,
    /// A container's own name for itself is the beginning of its id, unless it was given another.
    host_name: String,
}

impl Hints {
    fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::of(
            &text("/proc/self/cgroup"),
            &text("/proc/self/mountinfo"),
            rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .as_ref(),
        )
    }

    fn of(cgroup: &str, mountinfo: &str, host_name: &str) -> Self {
        // Docker mounts three files of a container's directory into it: `… /var/lib/docker/containers/<id>/hostname /etc/hostname …`.
        let mounted = mountinfo.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(3);
            let root = fields.next()?;
            let is_dockers = matches!(
                fields.next()?,
                "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf"
            );
            is_dockers.then_some(root)
        });
        let ids = mounted.chain(cgroup.lines()).flat_map(ids_in);
        Self {
            ids: ids.collect(),
            host_name: host_name.to_owned(),
        }
    }

    fn mean(&self, id: &str) -> bool {
        self.ids.contains(id) || (self.host_name.len() == 12 && id.starts_with(&self.host_name))
    }
}

/// Every run of 64 hexadecimal digits.
fn ids_in(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_ascii_hexdigit())
        .filter(|word| word.len() == 64)
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_container_is_known_by_its_cgroup_its_files_or_its_name() {
        let id = "0123456789ab".to_owned() + &"c".repeat(52);
        let mean =
            |cgroup: &str, mounts: &str, name: &str| Hints::of(cgroup, mounts, name).mean(&id);
        assert!(mean(
            &format!("0::/system.slice/docker-{id}.scope\n"),
            "",
            "nas"
        ));
        assert!(mean(&format!("12:pids:/docker/{id}\n"), "", "nas"));
        let mount = format!(
            "900 880 8:1 /var/lib/docker/containers/{id}/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
        );
        assert!(mean("0::/\n", &mount, "nas"));
        assert!(mean("0::/\n", "", "0123456789ab"));
        // On the host itself containers' files are mounted as well, but elsewhere.
        let on_host = mount.replace("/etc/hosts", "/var/lib/docker/containers/x/hosts");
        assert!(!mean("0::/user.slice\n", &on_host, "nas"));
        assert!(!mean("0::/\n", "", "0123"));
    }

    #[test]
    fn a_server_of_the_repository_is_known_by_its_address_or_its_port() {
        let raw: ContainerInspectResponse = serde_json::from_value(serde_json::json!({
            "Id": "m", "State": {"Running": true}, "HostConfig": {"NetworkMode": "storage"},
            "NetworkSettings": {
                "Ports": {"9000/tcp": [{"HostIp": "0.0.0.0", "HostPort": "19000"}], "9001/tcp": null},
                "Networks": {"storage": {"IPAddress": "172.30.0.2"}}
            }
        }))
        .unwrap();
        let at = |address: &str| serves(&raw, &[address.parse().unwrap()]);
        assert!(at("127.0.0.1:19000"));
        assert!(at("172.30.0.2:9000"));
        assert!(!at("127.0.0.1:9000"));
        // Some other host with the same port.
        assert!(!at("192.0.2.1:19000"));
    }
}
