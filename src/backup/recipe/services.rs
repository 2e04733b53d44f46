//! What of a project was there when it was saved: a restore holds to it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::discovery::place::clean;
use crate::drivers::docker::json::Json as _;
use crate::model::Unit;
use crate::model::point::{ContainerRecord, MountRecord, ServiceRecord};
use crate::model::source::SourceKey;
use crate::model::unit::{Container, ContainerState, Mount, MountKind};
use crate::ui::unnamed::is_unnamed;

/// What `StartedAt` says of a container that never ran.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The services of `unit` by name. `inspected`: what Docker says of each container, by its id; `profiles`: of each service.
pub fn services(
    unit: &Unit,
    inspected: &BTreeMap<String, Value>,
    profiles: &BTreeMap<String, Vec<String>>,
) -> Vec<ServiceRecord> {
    let mut services: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in &unit.containers {
        let name = container.service.as_deref().unwrap_or(&container.name);
        services.entry(name).or_default().push(container);
    }
    services
        .into_iter()
        .map(|(name, mut containers)| {
            containers.sort_by_key(|container| (container.number, container.name.clone()));
            let is_up = |state: ContainerState| state.is_up() || state == ContainerState::Paused;
            ServiceRecord {
                name: name.to_owned(),
                running: containers
                    .iter()
                    .filter(|container| is_up(container.state))
                    .count(),
                profiles: profiles.get(name).cloned().unwrap_or_default(),
                containers: containers
                    .iter()
                    .map(|container| record(unit, container, inspected.get(&container.id)))
                    .collect(),
            }
        })
        .collect()
}

fn record(unit: &Unit, container: &Container, inspected: Option<&Value>) -> ContainerRecord {
    let user = inspected.and_then(|inspected| inspected.at("Config").at("User").as_str());
    ContainerRecord {
        name: container.name.clone(),
        state: container.state,
        was_started: container.state != ContainerState::Created && container.started_at != NEVER,
        number: container.number,
        image: container.image.clone(),
        image_id: container.image_id.clone(),
        user: user.unwrap_or_default().to_owned(),
        mounts: container
            .mounts
            .iter()
            .map(|mount| mount_record(unit, mount))
            .collect(),
    }
}

fn mount_record(unit: &Unit, mount: &Mount) -> MountRecord {
    let source = match mount.kind {
        MountKind::Volume => Some(SourceKey::Volume {
            name: mount.name.clone(),
        }),
        MountKind::Bind => Some(SourceKey::Bind {
            path: clean(&mount.source),
        }),
        MountKind::Tmpfs | MountKind::Other => None,
    };
    MountRecord {
        destination: mount.destination.clone(),
        read_write: mount.read_write,
        is_anonymous: mount.kind == MountKind::Volume && is_anonymous(unit, &mount.name),
        source,
    }
}

fn is_anonymous(unit: &Unit, name: &str) -> bool {
    let key = SourceKey::Volume {
        name: name.to_owned(),
    };
    match unit.sources.iter().find(|source| source.key == key) {
        Some(source) => source.is_anonymous,
        None => is_unnamed(name),
    }
}

/// One sentence about all volumes without a name.
pub fn anonymous_volumes(services: &[ServiceRecord]) -> Option<String> {
    let all: Vec<String> = services
        .iter()
        .flat_map(|service| &service.containers)
        .flat_map(|container| {
            let anonymous = container.mounts.iter().filter(|mount| mount.is_anonymous);
            anonymous
                .map(|mount| format!("`{}` of container `{}`", mount.destination, container.name))
        })
        .collect();
    if all.is_empty() {
        return None;
    }
    Some(format!(
        "these are in volumes without a name: {}. They are saved, but newly created containers get empty ones: name them in the compose file",
        all.join(", ")
    ))
}
