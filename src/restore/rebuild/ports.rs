//! Ports of the host: what a container publishes, and who listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde_json::Value;

use crate::drivers::docker::json::Json as _;
use crate::points::saved::{fields, text};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// `tcp`, `udp`, `sctp`.
    protocol: String,
    /// `None`: every address of the host.
    address: Option<IpAddr>,
    port: u16,
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(address) => write!(f, "{address}:")?,
            None => {}
        }
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl Published {
    fn new(protocol: &str, address: &str, port: u16) -> Option<Self> {
        let address: Option<IpAddr> = address.parse().ok();
        (port > 0).then(|| Self {
            protocol: protocol.to_owned(),
            address: address.filter(|address| !address.is_unspecified()),
            port,
        })
    }

    /// Those that a saved container wants; without ranges and such that Docker chooses: it takes one that is free.
    pub fn of_saved(inspect: &Value) -> impl Iterator<Item = Self> {
        fields(inspect.at("HostConfig").at("PortBindings")).flat_map(|(port, bindings)| {
            let protocol = port.split('/').nth(1).unwrap_or("tcp").to_owned();
            let bindings = bindings.as_array().into_iter().flatten();
            bindings.filter_map(move |binding| {
                let port = text(binding.at("HostPort")).parse().ok()?;
                Self::new(&protocol, text(binding.at("HostIp")), port)
            })
        })
    }

    /// Those that a container in the list has now.
    pub fn of_listed(listed: &Value) -> impl Iterator<Item = Self> {
        let ports = listed.at("Ports").as_array().into_iter().flatten();
        ports.filter_map(|port| {
            let number = u16::try_from(port.at("PublicPort").as_u64()?).ok()?;
            Self::new(text(port.at("Type")), text(port.at("IP")), number)
        })
    }

    /// They exclude each other.
    pub fn collides(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.port == other.port
            && match (self.address, other.address) {
                (Some(one), Some(two)) => one == two,
                _ => true,
            }
    }
}

/// A process that waits at a port of the host.
#[derive(Clone, Debug)]
pub struct Listener {
    pub port: Published,
    inode: u64,
    name: Option<String>,
}

impl Listener {
    /// ``process `nginx` ``
    pub fn process(&self) -> String {
        match &self.name {
            Some(name) => format!("process `{}`", crate::base::text::printable(name)),
            None => "a process of this host".to_owned(),
        }
    }

    #[cfg(test)]
    pub fn parsed(protocol: &str, address: &str, name: Option<&str>) -> Self {
        let address: std::net::SocketAddr = address.parse().unwrap();
        Self {
            port: Published::new(protocol, &address.ip().to_string(), address.port()).unwrap(),
            inode: 0,
            name: name.map(str::to_owned),
        }
    }
}

/// Those that listen at one of `wanted`. Blocks. What cannot be read counts as free: the start will show it.
pub fn listeners(wanted: &[Published]) -> Vec<Listener> {
    let mut found = Vec::new();
    for (protocol, state, files) in [
        ("tcp", "0A", ["tcp", "tcp6"]),
        ("udp", "07", ["udp", "udp6"]),
    ] {
        if wanted.iter().any(|port| port.protocol == protocol) {
            for file in files {
                let table = std::fs::read_to_string(Path::new("/proc/net").join(file));
                found.extend(parse(&table.unwrap_or_default(), protocol, state));
            }
        }
    }
    found.retain(|listener| wanted.iter().any(|port| port.collides(&listener.port)));
    if !found.is_empty() {
        name_all(&mut found);
    }
    found
}

/// `sl local_address rem_address st … uid timeout inode`
fn parse(table: &str, protocol: &str, state: &str) -> Vec<Listener> {
    let lines = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if *words.get(3)? != state {
            return None;
        }
        let (address, port) = words.get(1)?.split_once(':')?;
        let address = address_of(address)?;
        Some(Listener {
            port: Published {
                protocol: protocol.to_owned(),
                address: Some(address).filter(|address| !address.is_unspecified()),
                port: u16::from_str_radix(port, 16).ok()?,
            },
            inode: words.get(9)?.parse().ok()?,
            name: None,
        })
    });
    lines.collect()
}

/// Words of 32 bits in hex, each as this machine has it in memory.
fn address_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let text = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

/// Looks whose sockets they are.
fn name_all(listeners: &mut [Listener]) {
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        for descriptor in std::fs::read_dir(process.path().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let Ok(target) = std::fs::read_link(descriptor.path()) else {
                continue;
            };
            let target = target.to_string_lossy();
            for listener in listeners
                .iter_mut()
                .filter(|listener| listener.name.is_none())
            {
                if *target == format!("socket:[{}]", listener.inode) {
                    let name = std::fs::read_to_string(process.path().join("comm"));
                    listener.name = name.ok().map(|name| name.trim().to_owned());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.1 writes it on a little-endian machine.
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31337 1 0 100 0 0 10 0\n\
        \x20  1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 31338 1 0 100 0 0 10 0\n\
        \x20  2: 0100007F:1F91 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 31339 1 0 100 0 0 10 0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn only_sockets_that_listen_are_counted() {
        let found: Vec<String> = parse(TCP, "tcp", "0A")
            .iter()
            .map(|listener| listener.port.to_string())
            .collect();
        assert_eq!(found, ["127.0.0.1:8080/tcp", "22/tcp"]);
        assert_eq!(
            address_of("B80D01200000000067452301EFCDAB89")
                .unwrap()
                .to_string(),
            "2001:db8::123:4567:89ab:cdef"
        );
        assert_eq!(
            address_of("0000000000000000FFFF00000100007F")
                .unwrap()
                .to_string(),
            "127.0.0.1"
        );
        assert!(parse("nothing\nx y z", "tcp", "0A").is_empty());
    }

    #[test]
    fn a_real_listener_is_found_with_its_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = listeners(&[Published::new("tcp", "", port).unwrap()]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].process().starts_with("process `"), "{found:?}");
        assert!(listeners(&[Published::new("tcp", "127.0.0.2", port).unwrap()]).is_empty());
    }

    #[test]
    fn a_wildcard_collides_with_every_address_of_its_port() {
        let port = |protocol, address| Published::new(protocol, address, 80).unwrap();
        assert!(port("tcp", "").collides(&port("tcp", "10.0.0.1")));
        assert!(port("tcp", "0.0.0.0").collides(&port("tcp", "::")));
        assert!(!port("tcp", "10.0.0.1").collides(&port("tcp", "10.0.0.2")));
        assert!(!port("tcp", "").collides(&port("udp", "")));
    }
}
