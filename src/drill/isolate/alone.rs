//! Which services cannot be booted in isolation: what they do is done to this host, and without it they do nothing.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::given::plain;
use crate::discovery::place;
use crate::drivers::docker::json::Json as _;
use crate::model::drill::LeftOutService;
use crate::points::saved::{text, texts};

/// Through which containers, and with them this host, are ruled.
const SOCKETS: [&str; 5] = [
    "docker.sock",
    "docker-cli.sock",
    "podman.sock",
    "containerd.sock",
    "crio.sock",
];

/// Directories that sockets of engines are in.
const FOLDERS_OF_SOCKETS: [&str; 6] = [
    "/",
    "/run",
    "/run/containerd",
    "/run/podman",
    "/var",
    "/var/run",
];

/// Capabilities that nobody asks for who works without.
const POWERS: [&str; 9] = [
    "ALL",
    "BPF",
    "MKNOD",
    "NET_ADMIN",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
];

/// Those of `names` that are left out, each with the reason. `socket` is that of the engine.
pub fn left_out<'a>(
    configs: &[Value],
    names: impl Iterator<Item = &'a String>,
    socket: &Path,
) -> Vec<LeftOutService> {
    let mut open: Vec<(&String, Option<&Value>)> = names
        .map(|name| {
            let mut services = configs.iter().map(|config| config.at("services").at(name));
            (name, services.find(|service| service.is_object()))
        })
        .collect();
    let mut left: BTreeMap<&String, String> = BTreeMap::new();
    loop {
        let before = left.len();
        open.retain(|(name, service)| {
            let why = match service {
                None => Some("the saved files do not have it".to_owned()),
                Some(service) => {
                    why_not(service, socket).or_else(|| lives_in(service, &left, configs))
                }
            };
            let is_open = why.is_none();
            left.extend(why.map(|why| (*name, why)));
            is_open
        });
        if left.len() == before {
            break;
        }
    }
    let left = left.into_iter();
    left.map(|(service, reason)| LeftOutService {
        service: service.clone(),
        reason,
    })
    .collect()
}

fn why_not(service: &Value, socket: &Path) -> Option<String> {
    let is_set = |key: &str| match service.at(key) {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    };
    let binds = service.at("volumes").as_array().into_iter().flatten();
    let mut binds = binds.filter(|mount| text(mount.at("type")) == "bind");
    if binds.any(|bind| is_socket(&plain(text(bind.at("source"))), socket))
        || is_set("use_api_socket")
    {
        return Some("it has the socket of the container engine".to_owned());
    }
    let reasons = [
        ("privileged", "it is privileged"),
        ("devices", "it uses devices of the host"),
        ("gpus", "it uses a GPU"),
        ("device_cgroup_rules", "it uses devices of the host"),
        ("volumes_from", "it has the volumes of another container"),
        ("provider", "a program of the host provides it"),
    ];
    if let Some((_, why)) = reasons.iter().find(|(key, _)| is_set(key)) {
        return Some((*why).to_owned());
    }
    let reserved = service
        .at("deploy")
        .at("resources")
        .at("reservations")
        .at("devices");
    if reserved
        .as_array()
        .is_some_and(|devices| !devices.is_empty())
    {
        return Some("it uses a GPU".to_owned());
    }
    if text(service.at("pid")) == "host" {
        return Some("it lives in the process namespace of the host".to_owned());
    }
    let power = texts(service.at("cap_add")).find(|name| {
        let name = name.to_ascii_uppercase();
        POWERS.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
    });
    if let Some(power) = power {
        return Some(format!("it has the capability {power}"));
    }
    let namespaces = ["network_mode", "ipc", "pid"];
    let foreign = namespaces
        .iter()
        .find(|key| text(service.at(key)).starts_with("container:"));
    foreign.map(|_| "it lives in the namespace of a container that is not of the unit".to_owned())
}

/// In the namespace of another service that is not there.
fn lives_in(
    service: &Value,
    left: &BTreeMap<&String, String>,
    configs: &[Value],
) -> Option<String> {
    ["network_mode", "ipc", "pid"].iter().find_map(|key| {
        let host = text(service.at(key)).strip_prefix("service:")?.to_owned();
        let is_there = configs
            .iter()
            .any(|config| config.at("services").at(&host).is_object());
        (left.contains_key(&host) || !is_there)
            .then(|| format!("it lives in a namespace of `{host}`, which is left out"))
    })
}

/// Whether an engine can be reached through what is at `path`.
pub fn is_socket(path: &str, socket: &Path) -> bool {
    let path = place::clean(Path::new(path));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SOCKETS.contains(&name.as_ref())
        || FOLDERS_OF_SOCKETS
            .iter()
            .any(|folder| path == Path::new(folder))
        || socket.starts_with(&path)
}
