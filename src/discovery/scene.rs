//! What all decisions look at: the engine's side, the host's side, the operator's side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::compose;
use super::container::container;
use super::host::Host;
use super::place::{self, Place, Volumes, clean};
use super::rules::Rules;
use crate::drivers::docker::{ContainerInspectResponse, Inventory};
use crate::model::unit::{Container, Mount};

pub struct Scene<'a> {
    pub inventory: &'a Inventory,
    pub host: &'a Host,
    pub rules: &'a Rules,
    /// Every container of the host, by name.
    pub containers: Vec<Container>,
    /// The same as inspected, by id.
    pub raw: BTreeMap<&'a str, &'a ContainerInspectResponse>,
    pub volumes: Volumes<'a>,
    /// Binds that a running container has mounted from elsewhere than the host's path now leads to.
    pub strayed: Vec<Strayed>,
}

/// A bind mount that is not what the host shows at its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strayed {
    /// The container's id.
    pub container: String,
    /// On the host, as the container names it.
    pub path: PathBuf,
    pub sentence: String,
}

impl<'a> Scene<'a> {
    pub fn new(inventory: &'a Inventory, host: &'a Host, rules: &'a Rules) -> Self {
        let raw = inventory
            .containers
            .iter()
            .filter_map(|raw| Some((raw.id.as_deref()?, raw)))
            .collect();
        Self {
            containers: containers(inventory),
            raw,
            volumes: volumes(inventory),
            strayed: Vec::new(),
            inventory,
            host,
            rules,
        }
    }

    /// The path on this host, links resolved, of what `mount` shows. `None` when it is no such path.
    pub fn real_path(&self, mount: &Mount) -> Option<PathBuf> {
        match place::of_mount(mount, &self.volumes) {
            Place::Path(path) => Some(self.host.real(&path)),
            Place::Elsewhere(_) | Place::Memory(_) | Place::Nothing => None,
        }
    }

    pub fn docker_root(&self) -> PathBuf {
        self.host.real(&self.inventory.docker_root)
    }
}

/// Every path that a decision will ask about.
pub fn paths_of_interest(inventory: &Inventory, rules: &Rules) -> BTreeSet<PathBuf> {
    let own = rules
        .own_paths
        .iter()
        .chain(&rules.repository)
        .map(|path| clean(path));
    let mut paths = paths_of(&containers(inventory), inventory);
    paths.extend(own);
    paths.insert(inventory.docker_root.clone());
    paths.retain(|path| path.is_absolute());
    paths
}

/// Those of them that `containers` bring.
pub fn paths_of(containers: &[Container], inventory: &Inventory) -> BTreeSet<PathBuf> {
    let volumes = volumes(inventory);
    let places = containers
        .iter()
        .flat_map(|container| &container.mounts)
        .filter_map(|mount| match place::of_mount(mount, &volumes) {
            Place::Path(path) => Some(path),
            _ => None,
        });
    let mut paths: BTreeSet<PathBuf> = places.collect();
    paths.extend(compose::paths_of_interest(containers, &volumes));
    paths.retain(|path| path.is_absolute());
    paths
}

fn containers(inventory: &Inventory) -> Vec<Container> {
    let mut containers: Vec<Container> =
        inventory.containers.iter().filter_map(container).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    containers
}

fn volumes(inventory: &Inventory) -> Volumes<'_> {
    inventory
        .volumes
        .iter()
        .map(|volume| (volume.name.as_str(), volume))
        .collect()
}
