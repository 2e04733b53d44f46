//! Small things to decide about.

use crate::drivers::docker::ContainerInspectResponse;
use crate::model::UnitName;
use crate::model::unit::{Condition, Container, Dependency, Unit, UnitKind};

/// A stopped container without mounts; its id is its name.
pub fn labelled(name: &str, labels: &[(&str, &str)]) -> Container {
    let raw = serde_json::json!({
        "Id": name,
        "Name": format!("/{name}"),
        "State": {"Status": "exited"},
        "Config": {"Labels": labels.iter().copied().collect::<std::collections::BTreeMap<_, _>>()},
    });
    let raw: ContainerInspectResponse = serde_json::from_value(raw).unwrap();
    super::container::container(&raw).unwrap()
}

/// Containers that need each other.
pub fn linked(edges: &[(&str, &[&str])]) -> Vec<Container> {
    edges
        .iter()
        .map(|(name, on)| Container {
            dependencies: on
                .iter()
                .map(|on| Dependency {
                    on: (*on).to_owned(),
                    condition: Condition::ServiceStarted,
                })
                .collect(),
            ..labelled(name, &[])
        })
        .collect()
}

/// A unit of nothing.
pub fn unit(name: &str) -> Unit {
    Unit {
        name: UnitName::parse(name).unwrap(),
        kind: UnitKind::Stack,
        containers: Vec::new(),
        levels: Vec::new(),
        sources: Vec::new(),
        networks: Vec::new(),
        compose: None,
        gaps: Vec::new(),
        not_coverable: None,
        blocker: None,
        enabled: true,
        warnings: Vec::new(),
    }
}
