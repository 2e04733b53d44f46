//! One service of a copy, by a list of the keys that it may have.

use serde_json::{Map, Value, json};

use super::given::{Given, Wanted};
use super::labels::labels;
use crate::drivers::docker::json::Json as _;
use crate::model::drill::Dropped;
use crate::points::saved::{fields, text, texts};

/// What concerns nobody but the container, and is taken as it is.
const ALLOWED: [&str; 31] = [
    "cap_drop",
    "command",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_shares",
    "cpus",
    "domainname",
    "entrypoint",
    "expose",
    "group_add",
    "healthcheck",
    "hostname",
    "init",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "pids_limit",
    "platform",
    "read_only",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "tmpfs",
    "tty",
    "ulimits",
    "user",
    "working_dir",
];

/// What is taken another way, or what every copy is without.
const HANDLED: [&str; 22] = [
    "attach",
    "configs",
    "depends_on",
    "develop",
    "env_file",
    "environment",
    "extends",
    "image",
    "ipc",
    "label_file",
    "labels",
    "links",
    "network_mode",
    "networks",
    "pid",
    "ports",
    "profiles",
    "pull_policy",
    "restart",
    "scale",
    "secrets",
    "volumes",
];

/// Without its mounts, networks and files. A namespace of another service is one of the copy: [`super::alone`] has left out all others.
pub fn service(
    given: &Given<'_>,
    name: &str,
    wanted: &Wanted,
    original: &Value,
    dropped: &mut Vec<Dropped>,
) -> Map<String, Value> {
    let mut drop = |what: String| {
        dropped.push(Dropped {
            service: Some(name.to_owned()),
            what,
        });
    };
    let mut service = Map::new();
    for (key, value) in fields(original).filter(|(_, value)| !is_nothing(value)) {
        let key = key.as_str();
        if ALLOWED.contains(&key) {
            service.insert(key.to_owned(), value.clone());
        } else if !HANDLED.contains(&key) && !key.starts_with("x-") {
            security(key, value, &mut service).unwrap_or_else(|| drop(told(key, value)));
        }
    }
    for port in original.at("ports").as_array().into_iter().flatten() {
        drop(format!("published port {}", port_text(port)));
    }
    let labelled = fields(original.at("labels")).count();
    if labelled > 0 {
        drop(crate::base::text::count(labelled, "label"));
    }
    // One without a value would be taken from our own environment.
    let environment = fields(original.at("environment")).filter(|(_, value)| !value.is_null());
    let environment: Map<String, Value> = environment
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !environment.is_empty() {
        service.insert("environment".to_owned(), environment.into());
    }
    for key in ["network_mode", "ipc", "pid"] {
        let mode = text(original.at(key));
        let is_own = match mode.strip_prefix("service:") {
            Some(host) => given.wanted.contains_key(host),
            None => mode == "none" || (key == "ipc" && matches!(mode, "private" | "shareable")),
        };
        if is_own {
            service.insert(key.to_owned(), mode.into());
        } else if key != "network_mode" && !mode.is_empty() {
            drop(told(key, &mode.into()));
        }
    }
    let ours = [
        ("image", json!(wanted.image)),
        ("pull_policy", json!("never")),
        ("restart", json!("no")),
        ("labels", labels(given.id, &wanted.image_labels)),
        // Not where the original's go, which may be a server.
        (
            "logging",
            json!({"driver": "json-file", "options": {"max-size": "10m"}}),
        ),
    ];
    service.extend(ours.map(|(key, value)| (key.to_owned(), value)));
    if let Some(name) = &wanted.container_name {
        service.insert("container_name".to_owned(), name.clone().into());
    }
    service
}

/// `security_opt` as far as it takes powers away.
fn security(key: &str, value: &Value, service: &mut Map<String, Value>) -> Option<()> {
    if key != "security_opt" {
        return None;
    }
    let harmless = [
        "no-new-privileges",
        "no-new-privileges:true",
        "no-new-privileges=true",
    ];
    texts(value)
        .all(|option| harmless.contains(&option))
        .then(|| {
            service.insert(key.to_owned(), value.clone());
        })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(_) | Value::Bool(true) => false,
    }
}

/// A key with its value, where that is short.
fn told(key: &str, value: &Value) -> String {
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            texts(value).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    };
    format!("{key} {value}").trim_end().to_owned()
}

/// `8080:80`, or as it was written.
fn port_text(port: &Value) -> String {
    let word = |key: &str| match port.at(key) {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    match port {
        Value::String(text) => text.clone(),
        _ => {
            let parts = [word("host_ip"), word("published"), word("target")];
            let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            parts.join(":")
        }
    }
}
