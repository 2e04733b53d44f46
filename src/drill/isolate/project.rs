//! The whole project of a copy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::files::Files;
use super::given::{Given, MadeFile};
use super::mounts::Mounted;
use super::networks::Networks;
use super::service::service;
use crate::drivers::docker::json::Json as _;
use crate::model::drill::Dropped;
use crate::model::unit::Condition;
use crate::points::saved::{fields, text, texts};

/// What is booted, and what it does not have.
#[derive(Debug, Default)]
pub struct Isolated {
    /// The compose file.
    pub compose: Value,
    /// By service.
    pub booting: BTreeMap<String, Booting>,
    /// Names of the drill's volumes, by those of the original: all that are to be made.
    pub volumes: BTreeMap<String, String>,
    /// Paths that must not lead out of what was restored, with that.
    pub within: Vec<(PathBuf, PathBuf)>,
    pub made: Vec<MadeFile>,
    pub dropped: Vec<Dropped>,
}

/// How a service is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booting {
    pub needs: Vec<(String, Condition)>,
    pub is_job: bool,
    /// Docker would start it again when it ends.
    pub is_restarted: bool,
}

/// `given` in isolation.
pub fn isolate(given: &Given<'_>) -> Isolated {
    let mut isolated = Isolated::default();
    let (mut networks, mut mounted) = (Networks::of(given), Mounted::default());
    let (mut secrets, mut configs) = (Files::new(given, "secrets"), Files::new(given, "configs"));
    let mut services = Map::new();
    for (name, wanted, original, config) in given.services() {
        let dropped = &mut isolated.dropped;
        let mut made = service(given, name, wanted, original, dropped);
        if let Some(on) = networks.of_service(name, original, &wanted.names, dropped) {
            made.insert("networks".to_owned(), on);
        }
        let lists = [
            (
                "volumes",
                mounted.of_service(given, (name, wanted), (original, config), dropped),
            ),
            (
                "secrets",
                secrets.of_service(name, original, config, dropped),
            ),
            (
                "configs",
                configs.of_service(name, original, config, dropped),
            ),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        made.extend(lists.map(|(key, list)| (key.to_owned(), list.into())));
        services.insert(name.clone(), made.into());
        isolated
            .booting
            .insert(name.clone(), booting(original, wanted.is_job, given));
    }
    let section = networks.section(given, &mut isolated.dropped);
    let volumes: Map<String, Value> = mounted
        .volumes
        .values()
        // Made before, with the label of the drill.
        .map(|name| (name.clone(), json!({"name": name, "external": true})))
        .collect();
    for name in mounted.volumes.keys().filter(|name| !(given.holds)(name)) {
        isolated.dropped.push(Dropped {
            service: None,
            what: format!(
                "the data of volume `{name}`, which the point does not hold: it is empty"
            ),
        });
    }
    isolated.compose = json!({
        "name": given.project, "services": services, "networks": section, "volumes": volumes,
        "secrets": secrets.section, "configs": configs.section,
    });
    isolated.volumes = mounted.volumes;
    isolated.within = mounted.within;
    isolated.made = [secrets.made, configs.made].concat();
    isolated.dropped.sort();
    isolated.dropped.dedup();
    isolated
}

fn booting(original: &Value, is_job: bool, given: &Given<'_>) -> Booting {
    let depends = original.at("depends_on");
    let conditions = fields(depends).map(|(name, how)| {
        let condition = match text(how.at("condition")) {
            "service_healthy" => Condition::ServiceHealthy,
            "service_completed_successfully" => Condition::ServiceCompletedSuccessfully,
            _ => Condition::ServiceStarted,
        };
        (name.clone(), condition)
    });
    let plain = texts(depends).map(|name| (name.to_owned(), Condition::ServiceStarted));
    let namespaces = ["network_mode", "ipc", "pid"]
        .into_iter()
        .filter_map(|key| {
            let host = text(original.at(key)).strip_prefix("service:")?;
            Some((host.to_owned(), Condition::ServiceStarted))
        });
    let all = conditions.chain(plain).chain(namespaces);
    Booting {
        needs: all
            .filter(|(name, _)| given.wanted.contains_key(name))
            .collect(),
        is_job,
        is_restarted: !is_job && !matches!(text(original.at("restart")), "" | "no" | "none"),
    }
}
