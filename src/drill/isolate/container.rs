//! A container as compose would have described it: for units without compose files.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::given::escaped;
use crate::discovery::labels;
use crate::drivers::docker::json::Json as _;
use crate::model::point::REDACTED;
use crate::points::saved::{endpoints, fields, text, texts};
use crate::restore::rebuild::without_given;

/// What `docker compose config` would say of `containers`, by the names of their services; each as `docker inspect` had it. `secrets`
/// are values that were replaced, by container; `hosts` names of the host that they ran on.
pub fn config_of(
    containers: &BTreeMap<String, &Value>,
    secrets: &BTreeMap<String, BTreeMap<String, String>>,
    hosts: &[&str],
) -> Value {
    let mut volumes = Map::new();
    let services: Map<String, Value> = containers
        .iter()
        .map(|(service, inspect)| {
            let inspect = without_given(inspect, hosts);
            let own = secrets.get(crate::points::saved::container_name(&inspect));
            (
                service.clone(),
                service_of(&inspect, own, &mut volumes, containers),
            )
        })
        .collect();
    let mut config = json!({ "services": services });
    escape(&mut config);
    // Names are compared with what Docker has.
    config.set("volumes", volumes.into());
    config
}

fn service_of(
    inspect: &Value,
    secrets: Option<&BTreeMap<String, String>>,
    volumes: &mut Map<String, Value>,
    containers: &BTreeMap<String, &Value>,
) -> Value {
    let (config, host) = (inspect.at("Config"), inspect.at("HostConfig"));
    let mut service = json!({});
    let same = [
        ("command", config.at("Cmd")),
        ("entrypoint", config.at("Entrypoint")),
        ("user", config.at("User")),
        ("working_dir", config.at("WorkingDir")),
        ("hostname", config.at("Hostname")),
        ("domainname", config.at("Domainname")),
        ("stop_signal", config.at("StopSignal")),
        ("tty", config.at("Tty")),
        ("stdin_open", config.at("OpenStdin")),
        ("labels", config.at("Labels")),
        ("privileged", host.at("Privileged")),
        ("read_only", host.at("ReadonlyRootfs")),
        ("init", host.at("Init")),
        ("cap_add", host.at("CapAdd")),
        ("cap_drop", host.at("CapDrop")),
        ("devices", host.at("Devices")),
        ("gpus", host.at("DeviceRequests")),
        ("device_cgroup_rules", host.at("DeviceCgroupRules")),
        ("volumes_from", host.at("VolumesFrom")),
        ("security_opt", host.at("SecurityOpt")),
        ("extra_hosts", host.at("ExtraHosts")),
        ("group_add", host.at("GroupAdd")),
        ("sysctls", host.at("Sysctls")),
        ("dns", host.at("Dns")),
        ("restart", host.at("RestartPolicy").at("Name")),
    ];
    for (key, value) in same {
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            // An empty command is not the image's own.
            Value::Array(list) => list.is_empty() && !matches!(key, "command" | "entrypoint"),
            _ => false,
        };
        if !is_empty {
            service.set(key, value.clone());
        }
    }
    if let Some(size @ 1..) = host.at("ShmSize").as_u64() {
        service.set("shm_size", json!(size.to_string()));
    }
    let tmpfs: Vec<String> = fields(host.at("Tmpfs"))
        .map(|(at, options)| match text(options) {
            "" => at.clone(),
            options => format!("{at}:{options}"),
        })
        .collect();
    service.set("tmpfs", json!(tmpfs));
    service.set("environment", environment(config, secrets));
    service.set("healthcheck", health_check(config.at("Healthcheck")));
    service.set("volumes", mounts(inspect, volumes));
    let ports = fields(host.at("PortBindings")).flat_map(|(port, bound)| {
        let bound = bound.as_array().into_iter().flatten();
        bound.map(move |at| json!({"host_ip": at.at("HostIp"), "published": at.at("HostPort"), "target": port}))
    });
    service.set("ports", ports.collect());
    for (key, mode) in [
        ("network_mode", "NetworkMode"),
        ("ipc", "IpcMode"),
        ("pid", "PidMode"),
    ] {
        if let Some(mode) = namespace(text(host.at(mode)), containers) {
            service.set(key, json!(mode));
        }
    }
    for (key, mode) in [("uts", "UTSMode"), ("userns_mode", "UsernsMode")] {
        if !text(host.at(mode)).is_empty() {
            service.set(key, host.at(mode).clone());
        }
    }
    set_networks(inspect, &mut service);
    service.set(
        "depends_on",
        depends_on(text(config.at("Labels").at(labels::DEPENDS_ON))),
    );
    service
}

/// Those that it was on, with its names there.
fn set_networks(inspect: &Value, service: &mut Value) {
    let id = text(inspect.at("Id"));
    let networks: Map<String, Value> = endpoints(inspect)
        .filter(|(name, _)| !matches!(name.as_str(), "host" | "none"))
        .map(|(name, endpoint)| {
            let name = if name == "bridge" { "default" } else { name };
            let aliases: Vec<&str> = texts(endpoint.at("Aliases"))
                .filter(|alias| id.get(..12) != Some(alias))
                .collect();
            (name.to_owned(), json!({ "aliases": aliases }))
        })
        .collect();
    if networks.is_empty() && endpoints(inspect).any(|(name, _)| name == "none") {
        service.set("network_mode", json!("none"));
    }
    service.set("networks", networks.into());
}

/// Only what is no default; `container:` names another one of the unit by its service.
fn namespace(mode: &str, containers: &BTreeMap<String, &Value>) -> Option<String> {
    let Some(host) = mode.strip_prefix("container:") else {
        return matches!(mode, "host" | "none" | "shareable").then(|| mode.to_owned());
    };
    let host = host.trim_start_matches('/');
    let is_it = |inspect: &Value| {
        crate::points::saved::container_name(inspect) == host || text(inspect.at("Id")) == host
    };
    let found = containers.iter().find(|(_, inspect)| is_it(inspect));
    Some(found.map_or_else(
        || mode.to_owned(),
        |(service, _)| format!("service:{service}"),
    ))
}

fn environment(config: &Value, secrets: Option<&BTreeMap<String, String>>) -> Value {
    let variables = texts(config.at("Env")).filter_map(|variable| variable.split_once('='));
    let all: Map<String, Value> = variables
        .map(|(name, value)| {
            let known = secrets.and_then(|secrets| secrets.get(name));
            let value = match known {
                Some(known) if value == REDACTED => known.as_str(),
                _ => value,
            };
            (name.to_owned(), json!(value))
        })
        .collect();
    all.into()
}

fn health_check(check: &Value) -> Value {
    let mut made = json!({});
    if check.at("Test").as_array().is_none_or(Vec::is_empty) {
        return Value::Null;
    }
    made.set("test", check.at("Test").clone());
    for (key, field) in [
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
    ] {
        if let Some(nanoseconds @ 1..) = check.at(field).as_u64() {
            made.set(key, json!(format!("{nanoseconds}ns")));
        }
    }
    if let Some(retries @ 1..) = check.at("Retries").as_u64() {
        made.set("retries", json!(retries));
    }
    made
}

fn mounts(inspect: &Value, volumes: &mut Map<String, Value>) -> Value {
    let mounts = inspect.at("Mounts").as_array().into_iter().flatten();
    mounts
        .map(|mount| {
            let name = text(mount.at("Name"));
            let kind = text(mount.at("Type"));
            if kind == "volume" {
                volumes.insert(name.to_owned(), json!({ "name": escaped(name) }));
            }
            let source = if kind == "volume" {
                mount.at("Name")
            } else {
                mount.at("Source")
            };
            json!({
                "type": kind, "source": source, "target": mount.at("Destination"),
                "read_only": mount.at("RW") == false,
            })
        })
        .collect()
}

/// `db:service_healthy:false,cache:service_started:true`
fn depends_on(label: &str) -> Value {
    let entries = label.split(',').filter(|entry| !entry.is_empty());
    let all: Map<String, Value> = entries
        .map(|entry| {
            let mut parts = entry.split(':');
            let name = parts.next().unwrap_or_default();
            (
                name.to_owned(),
                json!({"condition": parts.next().unwrap_or("service_started")}),
            )
        })
        .collect();
    all.into()
}

/// Compose would take every `$` for a variable.
fn escape(value: &mut Value) {
    match value {
        Value::String(text) => *text = escaped(text),
        Value::Array(list) => list.iter_mut().for_each(escape),
        Value::Object(map) => map.values_mut().for_each(escape),
        _ => {}
    }
}
