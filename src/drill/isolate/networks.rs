//! Networks of a copy: each of the original's is one of its own, internal, without addresses that were chosen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::given::{Given, escaped};
use super::labels::labels;
use crate::drivers::docker::json::Json as _;
use crate::model::drill::Dropped;
use crate::points::saved::{fields, text, texts};

/// Names that compose takes, by those that the original has.
#[derive(Default)]
pub struct Networks {
    keys: BTreeMap<String, String>,
    /// Further names of services: what links called them.
    aliases: BTreeMap<String, BTreeSet<String>>,
}

impl Networks {
    pub fn of(given: &Given<'_>) -> Self {
        let mut networks = Self::default();
        for (name, _, service, _) in given.services() {
            for link in texts(service.at("links")) {
                if let Some((to, alias)) = link.split_once(':') {
                    let aliases = networks.aliases.entry(to.to_owned()).or_default();
                    aliases.insert(alias.to_owned());
                }
            }
            let _ = name;
        }
        networks
    }

    fn key(&mut self, name: &str) -> String {
        let count = self.keys.len();
        let key = self.keys.entry(name.to_owned()).or_insert_with(|| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            // Those that are numbered have a dot.
            if !name.is_empty() && name.len() <= 60 && name.bytes().all(is_plain) {
                name.to_owned()
            } else {
                format!("n.{count}")
            }
        });
        key.clone()
    }

    /// What a service is on; `None` where it lives in another one's network, or in none.
    pub fn of_service(
        &mut self,
        name: &str,
        service: &Value,
        names: &[String],
        dropped: &mut Vec<Dropped>,
    ) -> Option<Value> {
        let mode = text(service.at("network_mode"));
        if mode == "none" || mode.starts_with("service:") {
            return None;
        }
        let mut drop = |what: String| {
            dropped.push(Dropped {
                service: Some(name.to_owned()),
                what,
            });
        };
        if mode == "host" {
            drop("the network of the host: it is on one of the drill".to_owned());
        }
        let mut on: Vec<(String, Value)> = match service.at("networks") {
            Value::Array(list) => list
                .iter()
                .map(|key| (text(key).to_owned(), Value::Null))
                .collect(),
            networks => fields(networks)
                .map(|(key, on)| (key.clone(), on.clone()))
                .collect(),
        };
        if on.is_empty() {
            on.push(("default".to_owned(), Value::Null));
        }
        let mut all = Map::new();
        for (network, settings) in on {
            for key in [
                "ipv4_address",
                "ipv6_address",
                "mac_address",
                "link_local_ips",
            ] {
                match settings.at(key) {
                    Value::Null => {}
                    Value::String(address) => drop(format!("{key} {address}")),
                    _ => drop(key.to_owned()),
                }
            }
            let of_file = texts(settings.at("aliases")).map(str::to_owned);
            let linked = self.aliases.get(name).into_iter().flatten();
            let ours = names.iter().chain(linked).map(|alias| escaped(alias));
            let aliases: BTreeSet<String> = of_file.chain(ours).collect();
            all.insert(self.key(&network), json!({ "aliases": aliases }));
        }
        Some(all.into())
    }

    /// All that services are on.
    pub fn section(&self, given: &Given<'_>, dropped: &mut Vec<Dropped>) -> Value {
        let mut section = Map::new();
        for (name, key) in &self.keys {
            let mut known = given
                .configs
                .iter()
                .map(|config| config.at("networks").at(name));
            if let Some(original) = known.find(|network| network.is_object()) {
                let mut drop = |what: String| {
                    dropped.push(Dropped {
                        service: None,
                        what,
                    })
                };
                let is_external =
                    !matches!(original.at("external"), Value::Null | Value::Bool(false));
                if is_external {
                    drop(format!(
                        "external network `{name}`: the drill has one of its own in its place"
                    ));
                }
                let subnets = original
                    .at("ipam")
                    .at("config")
                    .as_array()
                    .into_iter()
                    .flatten();
                for subnet in subnets.filter_map(|config| config.at("subnet").as_str()) {
                    drop(format!("subnet {subnet} of network `{name}`"));
                }
                if !matches!(text(original.at("driver")), "" | "bridge") {
                    drop(format!(
                        "driver {} of network `{name}`",
                        text(original.at("driver"))
                    ));
                }
            }
            let network = json!({"internal": true, "labels": labels(given.id, &[])});
            section.insert(key.clone(), network);
        }
        section.into()
    }
}
