//! Which container of a unit needs which other one.

use std::collections::BTreeMap;

use super::labels;
use crate::drivers::docker::ContainerInspectResponse;
use crate::model::unit::{Condition, Container, Dependency};

/// A container needed by one of another unit is not a dependency, since no unit starts both: these are told as
/// `(container, name or id that it needs, why)`.
pub type Foreign = Vec<(String, String, &'static str)>;

/// Fills in `dependencies` of `members`. `raw` has the inspected containers by id.
pub fn connect(
    members: &mut [Container],
    raw: &BTreeMap<&str, &ContainerInspectResponse>,
) -> Foreign {
    let known = members.to_vec();
    let mut foreign = Foreign::new();
    for member in members {
        let mut found = Vec::new();
        for (service, condition) in depends_on(&member.labels) {
            let replicas = known
                .iter()
                .filter(|other| other.service.as_deref() == Some(service));
            found.extend(replicas.map(|other| (other.id.clone(), condition)));
        }
        for (reference, why) in references(raw.get(member.id.as_str()).copied()) {
            match find(&known, reference) {
                Some(other) => found.push((other.id.clone(), Condition::ServiceStarted)),
                None => foreign.push((member.name.clone(), reference.to_owned(), why)),
            }
        }
        let mut dependencies: Vec<Dependency> = Vec::new();
        for (on, condition) in found {
            // The label comes first, and its condition is the stricter one.
            if on != member.id && !dependencies.iter().any(|known| known.on == on) {
                dependencies.push(Dependency { on, condition });
            }
        }
        member.dependencies = dependencies;
    }
    foreign
}

/// The containers whose namespaces `raw` lives in, as it names them, each with which.
pub fn namespaces(
    raw: Option<&ContainerInspectResponse>,
) -> impl Iterator<Item = (&str, &'static str)> {
    let host = raw.and_then(|raw| raw.host_config.as_ref());
    let modes = host.into_iter().flat_map(|host| {
        [
            (host.network_mode.as_deref(), "network"),
            (host.ipc_mode.as_deref(), "IPC namespace"),
            (host.pid_mode.as_deref(), "process namespace"),
        ]
    });
    modes.filter_map(|(mode, why)| Some((mode?.strip_prefix("container:")?, why)))
}

/// Those whose volumes it has mounted, as it names them.
pub fn volumes_from(raw: Option<&ContainerInspectResponse>) -> impl Iterator<Item = &str> {
    raw.and_then(|raw| raw.host_config.as_ref())
        .into_iter()
        .flat_map(|host| host.volumes_from.iter().flatten())
        // `name` or `name:ro`
        .map(|entry| entry.split(':').next().unwrap_or(entry))
}

/// `db:service_healthy:false,cache:service_started:true` → services with conditions. Old versions of compose leave
/// out the later parts.
fn depends_on(labels: &labels::Labels) -> impl Iterator<Item = (&str, Condition)> {
    labels::list(labels, labels::DEPENDS_ON).filter_map(|entry| {
        let mut parts = entry.split(':');
        let service = parts.next().filter(|service| !service.is_empty())?;
        let condition = match parts.next() {
            Some("service_healthy") => Condition::ServiceHealthy,
            Some("service_completed_successfully") => Condition::ServiceCompletedSuccessfully,
            _ => Condition::ServiceStarted,
        };
        Some((service, condition))
    })
}

/// Names or ids of containers whose namespaces, volumes or addresses the container uses.
fn references(
    raw: Option<&ContainerInspectResponse>,
) -> impl Iterator<Item = (&str, &'static str)> {
    let host = raw.and_then(|raw| raw.host_config.as_ref());
    let volumes = volumes_from(raw).map(|name| (name, "volumes"));
    // `/db:/app/alias`
    let links = host
        .into_iter()
        .flat_map(|host| host.links.iter().flatten())
        .map(|entry| (entry.split(':').next().unwrap_or(entry), "link"));
    namespaces(raw).chain(volumes).chain(links)
}

/// By full id, by name with or without its slash, or by the beginning of an id as people type it.
pub fn find<'a>(containers: &'a [Container], reference: &str) -> Option<&'a Container> {
    let name = reference.trim_start_matches('/');
    let is_short_id = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    containers
        .iter()
        .find(|container| container.id == name || container.name == name)
        .or_else(|| {
            containers
                .iter()
                .find(|container| is_short_id && container.id.starts_with(name))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_every_compose_version_is_read() {
        let label = "db:service_healthy:false, init:service_completed_successfully:true,cache:service_started,old";
        let labels = labels::Labels::from([(labels::DEPENDS_ON.to_owned(), label.to_owned())]);
        assert_eq!(
            depends_on(&labels).collect::<Vec<_>>(),
            [
                ("db", Condition::ServiceHealthy),
                ("init", Condition::ServiceCompletedSuccessfully),
                ("cache", Condition::ServiceStarted),
                ("old", Condition::ServiceStarted),
            ]
        );
        assert_eq!(depends_on(&labels::Labels::new()).count(), 0);
    }

    #[test]
    fn namespaces_volumes_and_links_are_references() {
        let raw: ContainerInspectResponse = serde_json::from_str(
            r#"{"Id": "a", "HostConfig": {"NetworkMode": "container:0123", "IpcMode": "private",
                "PidMode": "container:p", "VolumesFrom": ["data:ro"], "Links": ["/db:/app/alias"]}}"#,
        )
        .unwrap();
        let found: Vec<_> = references(Some(&raw)).map(|(name, _)| name).collect();
        assert_eq!(found, ["0123", "p", "data", "/db"]);
    }
}
