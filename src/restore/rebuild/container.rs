//! From what `docker inspect` said of a container to the request that makes it again: pure, and in Docker's own JSON, so that
//! a field which this program does not know comes back too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::discovery::place;
use crate::drivers::docker::json::Json as _;
use crate::model::point::REDACTED;
use crate::points::saved::{endpoints, fields, text, texts};

/// The first API that takes MAC addresses, and more than one network, with each endpoint.
const ENDPOINT_MAC_API: (u32, u32) = (1, 44);

#[derive(Clone, Default)]
pub struct Request {
    pub body: Value,
    /// Networks that it is put on when it is made, each with its endpoint: older engines take only one in the request.
    pub more: Vec<(String, Value)>,
    /// Such as `linux/arm64`, where another one than the engine's own was asked for.
    pub platform: Option<String>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds secrets.
        f.write_str("Request")
    }
}

/// What Docker refuses beside another container's network: the image's own ports are among the container's all the same.
const OF_ITS_OWN_NETWORK: [(&str, &[&str]); 2] = [
    (
        "Config",
        &["Hostname", "Domainname", "ExposedPorts", "MacAddress"],
    ),
    (
        "HostConfig",
        &[
            "Links",
            "Dns",
            "DnsOptions",
            "DnsSearch",
            "ExtraHosts",
            "PortBindings",
            "PublishAllPorts",
        ],
    ),
];

/// `inspect` without what Docker has put into it and would refuse, or take for an explicit setting. `hosts` are names of the host that
/// it ran on.
pub fn without_given(inspect: &Value, hosts: &[&str]) -> Value {
    let mut inspect = inspect.clone();
    let id = text(inspect.at("Id"));
    let name = text(inspect.at("Config").at("Hostname")).to_owned();
    let mode = network_mode(&inspect);
    let is_of_container = mode.starts_with("container:");
    let is_given = id.get(..12) == Some(&*name)
        || text(inspect.at("HostConfig").at("UTSMode")) == "host"
        || (mode == "host" && hosts.iter().any(|host| is_name_of(host, &name)));
    let mut remove = |part: &str, keys: &[&str]| {
        if let Some(Value::Object(fields)) = inspect.get_mut(part) {
            fields.retain(|key, _| !keys.contains(&key.as_str()));
        }
    };
    if is_of_container {
        for (part, keys) in OF_ITS_OWN_NETWORK {
            remove(part, keys);
        }
    } else if is_given {
        // Docker named it after its id, or after the host.
        remove("Config", &["Hostname", "Domainname"]);
    }
    if mode == "host" {
        remove("Config", &["MacAddress"]);
        remove("HostConfig", &["Links"]);
    }
    inspect
}

/// With or without the domain.
fn is_name_of(host: &str, name: &str) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or(name).to_lowercase();
    !name.is_empty() && first(host) == first(name)
}

/// What `docker create` has to be asked for, `inspect` [`without_given`]. An error says which variables have no value.
pub fn request(
    inspect: &Value,
    secrets: Option<&BTreeMap<String, String>>,
    api: (u32, u32),
) -> Result<Request, Vec<String>> {
    let mut body = inspect.at("Config").clone();
    if !body.is_object() {
        body = json!({});
    }
    body.set("Env", Value::Array(environment(inspect, secrets)?));
    let id = text(inspect.at("Id"));
    let mode = network_mode(inspect);
    let mut host = host_config(inspect);
    host.set("NetworkMode", json!(mode));
    let asked_mac = body
        .as_object_mut()
        .and_then(|config| config.remove("MacAddress"))
        .unwrap_or_default();
    let mut first = Map::new();
    let mut more = Vec::new();
    for (name, endpoint) in endpoints(inspect) {
        let is_first =
            *name == mode || (name == "bridge" && matches!(mode.as_str(), "default" | ""));
        let mut clean = clean_endpoint(endpoint, id);
        let mac = if is_first && !text(&asked_mac).is_empty() {
            text(&asked_mac).to_owned()
        } else {
            own_mac(endpoint).unwrap_or_default().to_owned()
        };
        if !mac.is_empty() && api >= ENDPOINT_MAC_API {
            clean.set("MacAddress", json!(mac));
        } else if !mac.is_empty() && is_first {
            body.set("MacAddress", json!(mac));
        }
        match name.as_str() {
            "host" | "none" => {}
            _ if is_first => {
                first.insert(name.clone(), clean);
            }
            _ => more.push((name.clone(), clean)),
        }
    }
    body.set("HostConfig", host);
    if !first.is_empty() {
        body.set("NetworkingConfig", json!({"EndpointsConfig": first}));
    }
    Ok(Request {
        body,
        more,
        platform: None,
    })
}

fn environment(
    inspect: &Value,
    secrets: Option<&BTreeMap<String, String>>,
) -> Result<Vec<Value>, Vec<String>> {
    let mut lost = Vec::new();
    let variables = texts(inspect.at("Config").at("Env")).map(|variable| {
        let Some((name, REDACTED)) = variable.split_once('=') else {
            return json!(variable);
        };
        match secrets.and_then(|secrets| secrets.get(name)) {
            Some(value) => json!(format!("{name}={value}")),
            None => {
                lost.push(name.to_owned());
                Value::Null
            }
        }
    });
    let variables = variables.collect();
    if lost.is_empty() {
        Ok(variables)
    } else {
        Err(lost)
    }
}

/// By name: the id of a network is another one here.
pub fn network_mode(inspect: &Value) -> String {
    let mode = text(inspect.at("HostConfig").at("NetworkMode"));
    let by_id = endpoints(inspect)
        .find(|(_, endpoint)| mode.len() >= 12 && text(endpoint.at("NetworkID")).starts_with(mode));
    by_id.map_or(mode, |(name, _)| name).to_owned()
}

fn host_config(inspect: &Value) -> Value {
    let mut host = inspect.at("HostConfig").clone();
    if !host.is_object() {
        host = json!({});
    }
    if let Some(links) = host.at("Links").as_array() {
        // `/db:/web/alias` is how it shows what `db:alias` asked for.
        let links = links.iter().filter_map(Value::as_str).map(|link| {
            let (to, alias) = link.split_once(':').unwrap_or((link, link));
            let alias = alias.rsplit('/').next().unwrap_or(alias);
            json!(format!("{}:{alias}", to.trim_start_matches('/')))
        });
        host.set("Links", links.collect());
    }
    // What an engine fills in by itself is for the new one to say: its kernel may need more hidden. An empty list is an explicit setting.
    let is_privileged = host.at("Privileged") == true;
    if let Some(fields) = host.as_object_mut() {
        for key in ["MaskedPaths", "ReadonlyPaths"] {
            let is_empty = fields
                .get(key)
                .and_then(Value::as_array)
                .is_some_and(Vec::is_empty);
            if is_privileged || !is_empty {
                fields.remove(key);
            }
        }
    }
    let anonymous = anonymous_volumes(inspect);
    for mount in host
        .get_mut("Mounts")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let at = clean(text(mount.at("Target")));
        if let Some(volume) = anonymous.iter().find(|volume| volume.at == at) {
            mount.set("Source", json!(volume.name));
        }
    }
    let mounted: BTreeSet<String> = mount_targets(&host);
    let binds = anonymous
        .iter()
        .filter(|volume| !mounted.contains(&volume.at))
        .map(|volume| json!(volume.bind()));
    let mut all: Vec<Value> = host.at("Binds").as_array().cloned().unwrap_or_default();
    all.extend(binds);
    if !all.is_empty() {
        host.set("Binds", Value::Array(all));
    }
    host
}

fn mount_targets(host: &Value) -> BTreeSet<String> {
    let mounts = host.at("Mounts").as_array().into_iter().flatten();
    mounts
        .map(|mount| clean(text(mount.at("Target"))))
        .collect()
}

/// As Docker writes it where something is mounted: `/data/` is asked for as often as `/data`.
pub fn clean(path: &str) -> String {
    place::clean(path.as_ref()).to_string_lossy().into_owned()
}

/// A volume that was made for a container that asked for none by name.
#[derive(Debug, PartialEq, Eq)]
pub struct Anonymous {
    pub name: String,
    pub at: String,
    pub is_read_only: bool,
}

impl Anonymous {
    pub fn bind(&self) -> String {
        let mode = if self.is_read_only { ":ro" } else { "" };
        format!("{}:{}{mode}", self.name, self.at)
    }
}

/// A new container would get new ones: these are to be named.
pub fn anonymous_volumes(inspect: &Value) -> Vec<Anonymous> {
    let host = inspect.at("HostConfig");
    let named: BTreeSet<String> = texts(host.at("Binds"))
        .filter_map(|bind| bind.split(':').nth(1).map(clean))
        .collect();
    let asked_without_name: BTreeSet<String> = host
        .at("Mounts")
        .as_array()
        .into_iter()
        .flatten()
        .filter(|mount| text(mount.at("Source")).is_empty())
        .map(|mount| clean(text(mount.at("Target"))))
        .chain(fields(inspect.at("Config").at("Volumes")).map(|(at, _)| clean(at)))
        .collect();
    let with_name: BTreeSet<String> = host
        .at("Mounts")
        .as_array()
        .into_iter()
        .flatten()
        .filter(|mount| !text(mount.at("Source")).is_empty())
        .map(|mount| clean(text(mount.at("Target"))))
        .collect();
    let mounts = inspect.at("Mounts").as_array().into_iter().flatten();
    mounts
        .filter(|mount| text(mount.at("Type")) == "volume")
        .filter_map(|mount| {
            let (name, at) = (text(mount.at("Name")), clean(text(mount.at("Destination"))));
            let is_anonymous = !name.is_empty()
                && asked_without_name.contains(&at)
                && !named.contains(&at)
                && !with_name.contains(&at);
            is_anonymous.then(|| Anonymous {
                name: name.to_owned(),
                at,
                is_read_only: mount.at("RW") == false,
            })
        })
        .collect()
}

/// What was asked for, without what Docker gave.
pub fn clean_endpoint(endpoint: &Value, id: &str) -> Value {
    let mut clean = json!({});
    for key in ["IPAMConfig", "Links", "DriverOpts", "GwPriority"] {
        if let Some(value) = endpoint.get(key)
            && !value.is_null()
        {
            clean.set(key, value.clone());
        }
    }
    let aliases: Vec<&str> = texts(endpoint.at("Aliases"))
        .filter(|alias| id.get(..12) != Some(alias))
        .collect();
    if !aliases.is_empty() {
        clean.set("Aliases", json!(aliases));
    }
    clean
}

/// Unless Docker made it from the IPv4 address, as it did before version 28.
fn own_mac(endpoint: &Value) -> Option<&str> {
    let mac = text(endpoint.at("MacAddress"));
    let address: Option<std::net::Ipv4Addr> = text(endpoint.at("IPAddress")).parse().ok();
    let made = address.map(|address| {
        let [a, b, c, d] = address.octets();
        format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    });
    (!mac.is_empty() && made.as_deref() != Some(mac)).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn inspect() -> Value {
        json!({
            "Id": ID, "Name": "/c", "Created": "2026", "State": {"Running": true}, "GraphDriver": {},
            "Config": {"Hostname": "0123456789ab", "Image": "i", "Env": ["A=1", "TOKEN=***REDACTED***"], "Volumes": {"/anon": {}, "/data": {}}, "NewField": [1]},
            "HostConfig": {
                "NetworkMode": "front", "Binds": ["data:/data"], "Links": ["/db:/c/base"], "MaskedPaths": ["/proc/kcore"], "ReadonlyPaths": [],
                "Mounts": [{"Type": "volume", "Target": "/m"}, {"Type": "volume", "Source": "v", "Target": "/v"}], "Privileged": false
            },
            "Mounts": [
                {"Type": "volume", "Name": "aaaa", "Destination": "/anon", "RW": true},
                {"Type": "volume", "Name": "data", "Destination": "/data", "RW": true},
                {"Type": "volume", "Name": "bbbb", "Destination": "/m", "RW": false},
                {"Type": "volume", "Name": "v", "Destination": "/v", "RW": true},
                {"Type": "volume", "Name": "theirs", "Destination": "/from", "RW": true}
            ],
            "NetworkSettings": {"Networks": {
                "front": {"IPAMConfig": {"IPv4Address": "10.1.0.7"}, "Aliases": ["web", "0123456789ab"], "IPAddress": "10.1.0.7", "MacAddress": "02:42:0a:01:00:07", "NetworkID": "ffff", "Links": null},
                "back": {"IPAMConfig": null, "Aliases": null, "IPAddress": "10.2.0.2", "MacAddress": "02:aa:00:00:00:01"}
            }}
        })
    }

    #[test]
    fn what_was_asked_for_is_asked_for_again() {
        let secrets = BTreeMap::from([("TOKEN".to_owned(), "x=y".to_owned())]);
        let saved = without_given(&inspect(), &[]);
        let request = request(&saved, Some(&secrets), (1, 41)).unwrap();
        let body = &request.body;
        assert_eq!(body["Env"], json!(["A=1", "TOKEN=x=y"]));
        assert_eq!(
            (body.get("Hostname"), &body["NewField"]),
            (None, &json!([1]))
        );
        let host = &body["HostConfig"];
        assert_eq!(host["Binds"], json!(["data:/data", "aaaa:/anon"]));
        assert_eq!(host["Mounts"][0]["Source"], "bbbb");
        assert_eq!(host["Links"], json!(["db:base"]));
        assert_eq!(
            (host.get("MaskedPaths"), &host["ReadonlyPaths"]),
            (None, &json!([]))
        );
        assert_eq!(
            body["NetworkingConfig"]["EndpointsConfig"],
            json!({"front": {"IPAMConfig": {"IPv4Address": "10.1.0.7"}, "Aliases": ["web"]}})
        );
        assert_eq!(request.more, [("back".to_owned(), json!({}))]);
        let newer = super::request(&inspect(), Some(&secrets), (1, 47)).unwrap();
        assert_eq!(
            newer.more,
            [(
                "back".to_owned(),
                json!({"MacAddress": "02:aa:00:00:00:01"})
            )]
        );
    }

    #[test]
    fn a_mac_address_is_asked_for_where_the_engine_takes_it() {
        let mut inspect = inspect();
        inspect["Config"]["Env"] = json!([]);
        inspect["Config"]["MacAddress"] = json!("02:00:00:00:00:09");
        let old = request(&inspect, None, (1, 43)).unwrap().body;
        assert_eq!(old["MacAddress"], "02:00:00:00:00:09");
        let new = request(&inspect, None, (1, 44)).unwrap().body;
        assert_eq!(new.get("MacAddress"), None);
        assert_eq!(
            new["NetworkingConfig"]["EndpointsConfig"]["front"]["MacAddress"],
            "02:00:00:00:00:09"
        );
    }

    #[test]
    fn a_secret_that_was_not_saved_is_named() {
        assert_eq!(request(&inspect(), None, (1, 41)).unwrap_err(), ["TOKEN"]);
    }

    #[test]
    fn a_network_that_was_named_by_its_id_is_named_by_its_name() {
        let mut inspect = inspect();
        inspect["HostConfig"]["NetworkMode"] = json!("ffffffffffff");
        inspect["NetworkSettings"]["Networks"]["front"]["NetworkID"] = json!("ffffffffffffffff");
        assert_eq!(network_mode(&inspect), "front");
    }

    #[test]
    fn what_docker_refuses_beside_anothers_network_is_left_out() {
        let mut inspect = inspect();
        let mut set = |part: &str, key: &str, value: Value| inspect[part][key] = value;
        set("HostConfig", "NetworkMode", json!("container:gluetun"));
        set("Config", "Hostname", json!("gluetuns"));
        // As the image asks for it.
        set("Config", "ExposedPorts", json!({"80/tcp": {}}));
        set("Config", "MacAddress", json!("02:00:00:00:00:09"));
        set("HostConfig", "PortBindings", json!({"80/tcp": null}));
        for key in ["Dns", "DnsOptions", "DnsSearch", "ExtraHosts"] {
            set("HostConfig", key, json!(["x"]));
        }
        let saved = without_given(&inspect, &[]);
        for (part, keys) in OF_ITS_OWN_NETWORK {
            for key in keys {
                assert_eq!(saved[part].get(key), None, "{key}");
            }
        }
        assert_eq!(saved["HostConfig"]["Binds"], json!(["data:/data"]));
    }

    #[test]
    fn a_name_that_the_old_host_had_stays_there() {
        let name = |network: &str, uts: &str, name: &str| {
            let mut inspect = inspect();
            inspect["HostConfig"]["NetworkMode"] = json!(network);
            inspect["HostConfig"]["UTSMode"] = json!(uts);
            inspect["Config"]["Hostname"] = json!(name);
            text(without_given(&inspect, &["nas.lan"])["Config"].at("Hostname")).to_owned()
        };
        assert_eq!(name("host", "", "nas.lan"), "");
        assert_eq!(name("host", "", "NAS"), "");
        assert_eq!(name("host", "", "mine"), "mine");
        assert_eq!(name("front", "", "nas"), "nas");
        assert_eq!(name("front", "host", "whatever"), "");
        assert_eq!(name("front", "", &ID[..12]), "");
    }

    #[test]
    fn a_place_is_the_same_however_it_is_written() {
        let mut inspect = inspect();
        inspect["HostConfig"]["Binds"] = json!(["data:/data/", "/srv:/m//x/."]);
        inspect["HostConfig"]["Mounts"] =
            json!([{"Type": "volume", "Source": "v", "Target": "/v/"}]);
        inspect["Config"]["Volumes"] = json!({"/anon/": {}, "/data": {}, "/v": {}, "/m/x": {}});
        let mounts = inspect["Mounts"].as_array_mut().unwrap();
        mounts.push(json!({"Type": "volume", "Name": "x", "Destination": "/m/x"}));
        let names: Vec<String> = anonymous_volumes(&inspect)
            .into_iter()
            .map(|volume| volume.bind())
            .collect();
        assert_eq!(names, ["aaaa:/anon"]);
    }
}
