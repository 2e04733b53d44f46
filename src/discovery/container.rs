//! One container: from what `docker inspect` says to what the rest works with.

use std::path::PathBuf;

use super::{database, labels};
use crate::drivers::docker::inspect::mount;
use crate::drivers::docker::{ContainerInspectResponse, HealthStatus};
use crate::model::unit::{Container, ContainerState, Mount, MountKind, Standing};

/// The container, its dependencies not yet known; `None` for an answer without an id.
pub fn container(raw: &ContainerInspectResponse) -> Option<Container> {
    let id = raw.id.clone()?;
    let config = raw.config.as_ref();
    let host = raw.host_config.as_ref();
    let labels: labels::Labels = config
        .and_then(|config| config.labels.clone())
        .unwrap_or_default()
        .into_iter()
        .collect();
    let image = config
        .and_then(|config| config.image.clone())
        .unwrap_or_default();
    Some(Container {
        name: raw
            .name
            .as_deref()
            .map_or(id.as_str(), |name| name.trim_start_matches('/'))
            .to_owned(),
        database: database::of_image(&image),
        image,
        image_id: raw.image.clone().unwrap_or_default(),
        state: state(raw),
        project: labels
            .get(labels::PROJECT)
            .filter(|name| !name.is_empty())
            .cloned(),
        service: labels.get(labels::SERVICE).cloned(),
        number: labels
            .get(labels::NUMBER)
            .and_then(|number| number.parse().ok()),
        auto_remove: host.and_then(|host| host.auto_remove).unwrap_or(false),
        stop_timeout_seconds: config.and_then(|config| config.stop_timeout),
        has_healthcheck: has_healthcheck(raw),
        dependencies: Vec::new(),
        mounts: mounts(raw),
        labels,
        started_at: raw
            .state
            .as_ref()
            .and_then(|state| state.started_at.clone())
            .unwrap_or_default(),
        standing: Standing {
            is_unhealthy: is_unhealthy(raw),
            is_privileged: host.and_then(|host| host.privileged).unwrap_or(false),
            ..Standing::default()
        },
        id,
    })
}

fn state(raw: &ContainerInspectResponse) -> ContainerState {
    use bollard::models::ContainerStateStatusEnum as Status;
    let state = raw.state.as_ref();
    match state.and_then(|state| state.status) {
        Some(Status::CREATED) => ContainerState::Created,
        // One that is being stopped still has processes.
        Some(Status::RUNNING | Status::STOPPING) => ContainerState::Running,
        Some(Status::PAUSED) => ContainerState::Paused,
        Some(Status::RESTARTING) => ContainerState::Restarting,
        Some(Status::REMOVING) => ContainerState::Removing,
        Some(Status::DEAD) => ContainerState::Dead,
        Some(Status::EXITED) => ContainerState::Exited,
        Some(Status::EMPTY) | None => match state.and_then(|state| state.running) {
            Some(false) => ContainerState::Exited,
            // Unknown: the careful answer.
            _ => ContainerState::Running,
        },
    }
}

/// A healthcheck that is really run: `NONE` switches off the image's.
fn has_healthcheck(raw: &ContainerInspectResponse) -> bool {
    let test = raw
        .config
        .as_ref()
        .and_then(|config| config.healthcheck.as_ref())
        .and_then(|check| check.test.as_deref())
        .unwrap_or_default();
    test.first()
        .is_some_and(|kind| !kind.is_empty() && kind != "NONE")
}

fn is_unhealthy(raw: &ContainerInspectResponse) -> bool {
    raw.state
        .as_ref()
        .and_then(|state| state.health.as_ref())
        .is_some_and(|health| health.status == Some(HealthStatus::UNHEALTHY))
}

/// All mounts; `docker run --tmpfs` is told elsewhere than the others.
fn mounts(raw: &ContainerInspectResponse) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = raw.mounts.iter().flatten().map(mount).collect();
    let tmpfs = raw
        .host_config
        .as_ref()
        .and_then(|host| host.tmpfs.as_ref());
    for destination in tmpfs.into_iter().flat_map(|tmpfs| tmpfs.keys()) {
        if !mounts.iter().any(|mount| mount.destination == *destination) {
            mounts.push(Mount {
                kind: MountKind::Tmpfs,
                name: String::new(),
                source: PathBuf::new(),
                destination: destination.clone(),
                read_write: true,
            });
        }
    }
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    mounts
}

/// The user-defined networks that the container is on.
pub fn networks(raw: &ContainerInspectResponse) -> impl Iterator<Item = &str> {
    raw.network_settings
        .iter()
        .filter_map(|settings| settings.networks.as_ref())
        .flat_map(|networks| networks.keys())
        .map(String::as_str)
        .filter(|name| !matches!(*name, "bridge" | "host" | "none"))
}
