//! Which networks have to be made, and what of those that are here is not as it was.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::conflicts::Conflict;
use super::subnet::Subnet;
use crate::base::text::printable;
use crate::discovery::labels;
use crate::drivers::docker::json::Json as _;
use crate::points::saved::{Saved, container_name, endpoints, fields, fixed_addresses, text};

/// Docker's own.
const BUILT_IN: &[&str] = &["bridge", "host", "none", "ingress"];

#[derive(Clone, Debug, Serialize)]
pub struct NetworkPlan {
    pub name: String,
    pub action: NetworkAction,
    /// Such as `bridge, 172.30.5.0/24`.
    pub detail: String,
    /// For the API.
    #[serde(skip)]
    pub request: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkAction {
    /// It is here.
    Leave,
    Create,
    /// It is missing and cannot be made; a warning says why.
    Skip,
}

/// `here` are the networks of this engine. What should be known beforehand goes to `warnings` and `conflicts`.
pub fn plan(
    saved: &Saved,
    here: &[Value],
    warnings: &mut Vec<String>,
    conflicts: &mut Vec<Conflict>,
) -> Vec<NetworkPlan> {
    let mut plans = Vec::new();
    for network in &saved.networks {
        let name = text(network.at("Name"));
        if name.is_empty() || BUILT_IN.contains(&name) {
            continue;
        }
        let mut request = request(network);
        let action = if let Some(there) = here.iter().find(|there| there.at("Name") == name) {
            compare(saved, network, there, warnings, conflicts);
            NetworkAction::Leave
        } else if text(network.at("Scope")) == "swarm" {
            warnings.push(format!(
                "network `{0}` was one of a swarm and is not made: `docker network create --driver {1} --attachable {0}` on a manager",
                printable(name),
                printable(text(network.at("Driver")))
            ));
            NetworkAction::Skip
        } else if let Some((subnet, holder)) = taken(network, here) {
            if is_chosen(saved, network) {
                conflicts.push(Conflict::certain(
                    format!(
                        "network `{}` needs {subnet}, which overlaps network `{holder}`",
                        printable(name)
                    ),
                    format!("`docker network rm {holder}` when nothing needs it, or give one of them another subnet"),
                ));
                NetworkAction::Skip
            } else {
                warnings.push(format!(
                    "network `{}` had {subnet}, which network `{holder}` has here: it gets another subnet",
                    printable(name)
                ));
                if let Some(ipam) = request.get_mut("IPAM") {
                    ipam.set("Config", json!([]));
                }
                NetworkAction::Create
            }
        } else {
            NetworkAction::Create
        };
        plans.push(NetworkPlan {
            name: name.to_owned(),
            action,
            detail: detail(&request),
            request,
        });
    }
    plans
}

/// Everything that `docker network inspect` shows and that can be asked for.
fn request(saved: &Value) -> Value {
    let mut request = json!({"Name": saved.at("Name"), "CheckDuplicate": true});
    let from = text(saved.at("ConfigFrom").at("Network"));
    let keys: &[&str] = if from.is_empty() {
        &[
            "Driver",
            "EnableIPv4",
            "EnableIPv6",
            "Internal",
            "Attachable",
            "Labels",
            "Options",
            "IPAM",
        ]
    } else {
        // The rest comes from there, and Docker refuses it here.
        &["Driver", "Internal", "Attachable", "Labels", "ConfigFrom"]
    };
    for key in keys {
        if let Some(value) = saved.get(*key)
            && !value.is_null()
        {
            request.set(key, value.clone());
        }
    }
    if let Some(Value::Object(labels)) = request.get_mut("Labels") {
        labels.retain(|label, _| !labels::PASSING.contains(&label.as_str()));
    }
    if let Some(Value::Array(pools)) = request
        .get_mut("IPAM")
        .and_then(|ipam| ipam.get_mut("Config"))
    {
        for pool in pools {
            *pool = clean_pool(pool);
        }
    }
    request
}

/// Some engines write the gateway with the length of its prefix, and what there is not as an empty text.
fn clean_pool(pool: &Value) -> Value {
    let clean = fields(pool).filter_map(|(key, value)| match (key.as_str(), value) {
        (_, Value::Null) => None,
        (_, Value::String(text)) if text.is_empty() => None,
        ("Gateway", Value::String(text)) => {
            Some((key.clone(), json!(text.split('/').next().unwrap_or(text))))
        }
        _ => Some((key.clone(), value.clone())),
    });
    Value::Object(clean.collect::<Map<_, _>>())
}

fn pools(network: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let pools = network
        .at("IPAM")
        .at("Config")
        .as_array()
        .into_iter()
        .flatten();
    pools
        .map(|pool| (text(pool.at("Subnet")), pool))
        .filter(|(subnet, _)| !subnet.is_empty())
}

/// The subnet that cannot be had, and the network that has it.
fn taken(network: &Value, here: &[Value]) -> Option<(String, String)> {
    pools(network).find_map(|(subnet, _)| {
        let wanted = Subnet::parse(subnet)?;
        let holder = here.iter().find(|other| {
            pools(other)
                .filter_map(|(subnet, _)| Subnet::parse(subnet))
                .any(|subnet| subnet.overlaps(&wanted))
        })?;
        Some((printable(subnet), text(holder.at("Name")).to_owned()))
    })
}

/// Whether these subnets were configured: Docker does not tell.
fn is_chosen(saved: &Saved, network: &Value) -> bool {
    let name = text(network.at("Name"));
    let has_fixed_address = saved.containers.iter().any(|container| {
        endpoints(container)
            .any(|(on, endpoint)| on == name && fixed_addresses(endpoint).next().is_some())
    });
    has_fixed_address
        || pools(network).any(|(subnet, pool)| {
            let gateway = text(pool.at("Gateway")).split('/').next();
            let gateway = gateway.and_then(|gateway| gateway.parse().ok());
            let is_plain = fields(pool).all(|(key, _)| key == "Subnet" || key == "Gateway");
            !is_plain || Subnet::parse(subnet).is_none_or(|subnet| !subnet.looks_automatic(gateway))
        })
}

fn compare(
    saved: &Saved,
    was: &Value,
    is: &Value,
    warnings: &mut Vec<String>,
    conflicts: &mut Vec<Conflict>,
) {
    let name = text(was.at("Name"));
    let mut differs = Vec::new();
    let mut differ = |what: &str, was: String, is: String| {
        if was != is {
            differs.push(format!(
                "{what} {}, not {}",
                printable(&is),
                printable(&was)
            ));
        }
    };
    differ(
        "its driver is",
        text(was.at("Driver")).into(),
        text(is.at("Driver")).into(),
    );
    for (key, what) in [
        ("Internal", "`internal` is"),
        ("Attachable", "`attachable` is"),
        ("EnableIPv6", "IPv6 is"),
    ] {
        let flag = |network: &Value| network.at(key).as_bool().unwrap_or_default().to_string();
        differ(what, flag(was), flag(is));
    }
    if is_chosen(saved, was) {
        differ("its subnet is", subnets(was), subnets(is));
    }
    differ(
        "its options are",
        pairs(was.at("Options")),
        pairs(is.at("Options")),
    );
    differ(
        "its labels are",
        pairs(was.at("Labels")),
        pairs(is.at("Labels")),
    );
    if !differs.is_empty() {
        warnings.push(format!(
            "network `{0}` is here and is left as it is, but differs from the saved one: {1}; when nothing else needs it, `docker network rm {0}` and restore again",
            printable(name),
            differs.join("; ")
        ));
    }
    for container in &saved.containers {
        let Some((_, endpoint)) = endpoints(container).find(|(on, _)| *on == name) else {
            continue;
        };
        for address in fixed_addresses(endpoint) {
            let Ok(wanted) = address.parse::<IpAddr>() else {
                continue;
            };
            let has = pools(is)
                .filter_map(|(subnet, _)| Subnet::parse(subnet))
                .any(|subnet| subnet.contains(wanted));
            if !has {
                conflicts.push(Conflict::certain(
                    format!(
                        "container `{}` needs the address {wanted}, but network `{}` has {} here",
                        printable(container_name(container)),
                        printable(name),
                        printable(&subnets(is))
                    ),
                    format!(
                        "`docker network rm {}` when nothing else needs it, then restore again",
                        printable(name)
                    ),
                ));
            }
        }
    }
}

fn subnets(network: &Value) -> String {
    let mut subnets: Vec<&str> = pools(network).map(|(subnet, _)| subnet).collect();
    subnets.sort_unstable();
    subnets.join(" and ")
}

/// Sorted, without what changes by itself.
fn pairs(map: &Value) -> String {
    let mut pairs: Vec<String> = fields(map)
        .filter(|(key, _)| !labels::PASSING.contains(&key.as_str()))
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    pairs.sort_unstable();
    if pairs.is_empty() {
        return "none".to_owned();
    }
    pairs.join(", ")
}

fn detail(request: &Value) -> String {
    let driver = match text(request.at("Driver")) {
        "" => "bridge",
        driver => driver,
    };
    let subnets = subnets(request);
    let mut words = vec![driver, &subnets];
    if request.at("Internal") == true {
        words.push("internal");
    }
    words.retain(|word| !word.is_empty());
    printable(&words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, subnet: &str, gateway: &str) -> Value {
        json!({
            "Name": name, "Id": "ab", "Created": "2026", "Scope": "local", "Driver": "bridge", "EnableIPv6": false,
            "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": subnet, "Gateway": gateway}]},
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": {"Network": ""}, "ConfigOnly": false,
            "Containers": {"x": {}}, "Options": {"com.docker.network.bridge.name": "br-x"}, "Labels": {"a": "b"}
        })
    }

    fn planned(
        saved: Vec<Value>,
        here: &[Value],
    ) -> (Vec<NetworkPlan>, Vec<String>, Vec<Conflict>) {
        let saved = Saved {
            networks: saved,
            ..Saved::default()
        };
        let (mut warnings, mut conflicts) = (Vec::new(), Vec::new());
        let plans = plan(&saved, here, &mut warnings, &mut conflicts);
        (plans, warnings, conflicts)
    }

    #[test]
    fn everything_that_can_be_asked_for_is_asked_for_and_nothing_else() {
        let mut saved = network("n", "172.30.5.0/24", "172.30.5.1/24");
        saved["IPAM"]["Config"][0]["IPRange"] = json!("");
        saved["IPAM"]["Config"][0]["AuxiliaryAddresses"] = json!({"router": "172.30.5.9"});
        let (plans, warnings, conflicts) =
            planned(vec![saved, network("bridge", "172.17.0.0/16", "")], &[]);
        assert_eq!((warnings.len(), conflicts.len(), plans.len()), (0, 0, 1));
        assert_eq!(
            plans[0].request,
            json!({
                "Name": "n", "CheckDuplicate": true, "Driver": "bridge", "EnableIPv6": false, "Internal": false,
                "Attachable": false, "Labels": {"a": "b"}, "Options": {"com.docker.network.bridge.name": "br-x"},
                "IPAM": {"Driver": "default", "Options": null, "Config": [
                    {"Subnet": "172.30.5.0/24", "Gateway": "172.30.5.1", "AuxiliaryAddresses": {"router": "172.30.5.9"}}
                ]}
            })
        );
        assert_eq!(plans[0].detail, "bridge, 172.30.5.0/24");
    }

    #[test]
    fn a_subnet_of_dockers_own_choice_gives_way_and_one_that_somebody_chose_does_not() {
        let here = [network("other", "172.18.0.0/16", "172.18.0.1")];
        let (plans, warnings, conflicts) =
            planned(vec![network("n", "172.18.0.0/16", "172.18.0.1")], &here);
        assert_eq!(plans[0].action, NetworkAction::Create);
        assert_eq!(plans[0].request["IPAM"]["Config"], json!([]));
        assert!(
            conflicts.is_empty() && warnings[0].contains("`other`"),
            "{warnings:?}"
        );
        let (plans, warnings, conflicts) =
            planned(vec![network("n", "172.18.7.0/24", "172.18.7.1")], &here);
        assert_eq!(plans[0].action, NetworkAction::Skip);
        assert!(warnings.is_empty() && conflicts[0].to_string().contains("`other`"));
    }

    #[test]
    fn a_network_that_is_here_is_left_and_what_differs_is_named() {
        let was = network("n", "172.30.5.0/24", "172.30.5.1");
        let (plans, warnings, _) = planned(vec![was.clone()], std::slice::from_ref(&was));
        assert_eq!(plans[0].action, NetworkAction::Leave);
        assert!(warnings.is_empty(), "{warnings:?}");
        let mut is = network("n", "172.31.5.0/24", "172.31.5.1");
        is["Internal"] = json!(true);
        is["Labels"]["com.docker.compose.version"] = json!("9");
        let (_, warnings, _) = planned(vec![was], &[is]);
        let text = &warnings[0];
        assert!(
            text.contains("its subnet is 172.31.5.0/24, not 172.30.5.0/24"),
            "{text}"
        );
        assert!(text.contains("`internal` is true, not false"), "{text}");
        assert!(!text.contains("labels"), "{text}");
    }

    #[test]
    fn addresses_that_do_not_fit_the_network_that_is_here_are_a_conflict() {
        let saved = Saved {
            networks: vec![network("n", "172.30.5.0/24", "172.30.5.1")],
            containers: vec![
                json!({"Name": "/c", "NetworkSettings": {"Networks": {"n": {"IPAMConfig": {"IPv4Address": "172.30.5.7"}}}}}),
            ],
            ..Saved::default()
        };
        let (mut warnings, mut conflicts) = (Vec::new(), Vec::new());
        let here = [network("n", "172.31.5.0/24", "172.31.5.1")];
        plan(&saved, &here, &mut warnings, &mut conflicts);
        assert!(
            conflicts[0].to_string().contains("172.30.5.7"),
            "{conflicts:?}"
        );
        assert!(conflicts[0].is_certain);
    }
}
