//! Anonymous volumes of a stack: new containers get new ones, so what is restored has to be named for them.

use std::collections::BTreeMap;

use super::places::{Places, unnamed_key};
use crate::discovery::{Discovery, labels};
use crate::drivers::docker::json::Json as _;
use crate::model::point::SourceRecord;
use crate::model::unit::MountKind;
use crate::model::{SourceKey, UnitKind};
use crate::points::saved::{Saved, container_name};
use crate::restore::rebuild::anonymous_volumes;
use crate::ui;

/// A volume that the overlay names for its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    pub service: String,
    /// Of the volume in the point.
    pub id: String,
    /// What it is called here.
    pub volume: String,
    /// Where the service has it mounted.
    pub at: String,
    pub is_read_only: bool,
}

impl Wire {
    /// What the overlay calls the volume.
    pub fn key(&self) -> String {
        unnamed_key(&self.id)
    }
}

/// Those of `sources` that no container here has mounted, and that one service alone had; of a copy, which gets its own, all of the
/// latter. `saved` is empty for a part of a unit.
pub fn wires(
    host: &Discovery,
    saved: &Saved,
    sources: &[SourceRecord],
    places: &Places,
) -> Vec<Wire> {
    let mut by_place: BTreeMap<(String, String), Vec<Wire>> = BTreeMap::new();
    for container in &saved.containers {
        let label = container.at("Config").at("Labels").at(labels::SERVICE);
        let Some(service) = label.as_str() else {
            continue;
        };
        for volume in anonymous_volumes(container) {
            let wire = Wire {
                service: service.to_owned(),
                volume: places.name_of_volume(&volume.name),
                id: volume.name,
                at: volume.at,
                is_read_only: volume.is_read_only,
            };
            let place = (wire.service.clone(), wire.at.clone());
            by_place.entry(place).or_default().push(wire);
        }
    }
    by_place
        .into_values()
        // Replicas of a service have one each, and one file for all of them.
        .filter(|wires| wires.len() == 1)
        .flatten()
        .filter(|wire| {
            let is_restored = sources.iter().any(
                |source| matches!(&source.key, SourceKey::Volume { name } if *name == wire.id),
            );
            is_restored && (places.project().is_some() || !is_mounted(host, &wire.id))
        })
        .collect()
}

/// How they are told to a person.
pub fn learn(saved: &Saved) {
    for container in &saved.containers {
        for volume in anonymous_volumes(container) {
            ui::unnamed::learn(&volume.name, container_name(container), &volume.at);
        }
    }
}

/// Leaves those out of `sources` that a copy has no place for. Says what becomes of each.
pub fn of_copy(sources: &mut Vec<SourceRecord>, wires: &[Wire]) -> Vec<String> {
    let mut said = Vec::new();
    sources.retain(|source| {
        let SourceKey::Volume { name } = &source.key else {
            return true;
        };
        if !ui::unnamed::is_unnamed(name) {
            return true;
        }
        let wire = wires.iter().find(|wire| wire.id == *name);
        said.push(match wire {
            Some(wire) => format!(
                "the volume `{name}` is called `{}` in the copy: a compose file that is added mounts it at `{}` of service `{}`",
                wire.volume, wire.at, wire.service
            ),
            None => format!(
                "the volume `{name}` has no place of its own in a copy: take it as a plain directory with `--volume {name} --target DIR`"
            ),
        });
        wire.is_some()
    });
    said
}

/// What has to be said of those that no container will find.
pub fn lost(
    host: &Discovery,
    kind: UnitKind,
    sources: &[SourceRecord],
    wires: &[Wire],
) -> Vec<String> {
    if kind == UnitKind::Standalone {
        // It is made again with its volumes by their names.
        return Vec::new();
    }
    let names = sources.iter().filter_map(|source| match &source.key {
        SourceKey::Volume { name } => Some(name),
        SourceKey::Bind { .. } => None,
    });
    names
        .filter(|name| ui::unnamed::is_unnamed(name) && !is_mounted(host, name))
        .map(|name| match wires.iter().find(|wire| wire.id == **name) {
            Some(wire) => format!(
                "no container here mounts the volume `{name}`: a compose file that is added mounts it at `{}` of service `{}`",
                wire.at, wire.service
            ),
            None => format!(
                "no container here mounts the volume `{name}`: new containers will not look for it"
            ),
        })
        .collect()
}

fn is_mounted(host: &Discovery, volume: &str) -> bool {
    let mut mounts = host
        .containers
        .iter()
        .flat_map(|container| &container.mounts);
    mounts.any(|mount| mount.kind == MountKind::Volume && mount.name == volume)
}
