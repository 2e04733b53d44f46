//! Which containers belong together.

use std::collections::BTreeMap;

use super::labels;
use super::names::Names;
use crate::model::UnitName;
use crate::model::unit::{Container, UnitKind};

/// The containers of one unit-to-be.
#[derive(Debug)]
pub struct Members {
    pub name: UnitName,
    pub kind: UnitKind,
    /// What is stopped and started, by name.
    pub services: Vec<Container>,
    /// `docker compose run`: its data belongs to the project, but nothing starts it again.
    pub one_offs: Vec<Container>,
    /// Why the unit must not be stopped.
    pub orchestrator: Option<String>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    // In this order they choose their names, so that a project keeps its own.
    Project(String),
    Swarm(String),
    Pod(String),
    Standalone(String),
}

/// Sorts all containers into units, ordered by name.
pub fn members(containers: &[Container]) -> Vec<Members> {
    let mut groups: BTreeMap<Group, Vec<Container>> = BTreeMap::new();
    for container in containers {
        groups
            .entry(group_of(container))
            .or_default()
            .push(container.clone());
    }
    let mut names = Names::default();
    let mut units: Vec<Members> = groups
        .into_iter()
        .map(|(group, containers)| unit(group, containers, &mut names))
        .collect();
    units.sort_by(|a, b| a.name.cmp(&b.name));
    units
}

fn group_of(container: &Container) -> Group {
    let label = |key: &str| {
        container
            .labels
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    if let Some(pod) = label(labels::POD) {
        let namespace = label(labels::POD_NAMESPACE).unwrap_or_else(|| "default".to_owned());
        return Group::Pod(format!("{namespace}.{pod}"));
    }
    let service = label(labels::SWARM_SERVICE).or_else(|| label(labels::SWARM_TASK));
    if let Some(service) = service {
        return Group::Swarm(label(labels::STACK).unwrap_or(service));
    }
    match &container.project {
        Some(project) => Group::Project(project.clone()),
        None => Group::Standalone(container.name.clone()),
    }
}

fn unit(group: Group, containers: Vec<Container>, names: &mut Names) -> Members {
    let (wanted, suffix, kind, orchestrator) = match &group {
        Group::Project(name) => (name, ".project", UnitKind::Stack, None),
        Group::Swarm(name) => (
            name,
            ".swarm",
            UnitKind::Stack,
            Some("it is run by Docker Swarm, which would replace every task that is stopped"),
        ),
        Group::Pod(name) => (
            name,
            ".pod",
            UnitKind::Stack,
            Some("it is a pod of Kubernetes, which would replace every container that is stopped"),
        ),
        Group::Standalone(name) => (name, ".container", UnitKind::Standalone, None),
    };
    let name = names.give(wanted, suffix);
    let warnings = if name.as_str() == wanted {
        Vec::new()
    } else {
        vec![format!(
            "it is called `{name}` here, since `{wanted}` is the name of another unit or cannot be one"
        )]
    };
    let (one_offs, services) = containers
        .into_iter()
        .partition(|container| labels::is_one_off(&container.labels));
    Members {
        name,
        kind,
        services,
        one_offs,
        orchestrator: orchestrator.map(str::to_owned),
        warnings,
    }
}
