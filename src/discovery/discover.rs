//! Units and volumes of this host, as of now.

use super::look;
use std::path::PathBuf;

use serde::Serialize;

use super::rules::Rules;
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::Unit;
use crate::model::point::IdWorld;
use crate::model::unit::Container;
use crate::ui::unnamed;

#[derive(Clone, Debug)]
pub struct Discovery {
    /// Every unit, also those that are disabled or cannot be covered; by name.
    pub units: Vec<Unit>,
    /// Volumes that no container uses.
    pub orphan_volumes: Vec<OrphanVolume>,
    /// Every container of the host, one-offs and tasks among them: what the ids in `Source::writers` mean.
    pub containers: Vec<Container>,
    /// How the engine maps ids.
    pub ids: IdWorld,
}

impl Discovery {
    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// Something else would replace it at once if it were stopped.
    pub fn is_orchestrated(&self, id: &str) -> bool {
        self.units
            .iter()
            .filter(|unit| unit.not_coverable.is_some())
            .any(|unit| unit.containers.iter().any(|container| container.id == id))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanVolume {
    pub name: String,
    pub driver: String,
    pub is_anonymous: bool,
    /// `None` when it is not on this host's disks.
    pub path: Option<PathBuf>,
}

/// Looks at the engine and the host, and decides.
pub async fn discover(engine: &Engine, rules: &Rules) -> Result<Discovery> {
    let host = look::Seen::look(engine, rules).await?.discovery(rules);
    for container in &host.containers {
        for mount in &container.mounts {
            unnamed::learn(&mount.name, &container.name, &mount.destination);
        }
    }
    Ok(host)
}
