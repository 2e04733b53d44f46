//! Who could write to a source, on the whole host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::place::clean;
use super::scene::Scene;
use super::tree::Tree;
use crate::model::source::SourceKey;
use crate::model::unit::{Mount, MountKind};

/// Every mount on the host that can be written to, with the id of its container.
#[derive(Default)]
pub struct Writes {
    volumes: BTreeMap<String, Vec<String>>,
    real: Tree<String>,
}

impl Writes {
    pub fn new(scene: &Scene) -> Self {
        let mut all = Self::default();
        for container in &scene.containers {
            for mount in container.mounts.iter().filter(|mount| mount.read_write) {
                if mount.kind == MountKind::Volume {
                    let writers = all.volumes.entry(mount.name.clone()).or_default();
                    writers.push(container.id.clone());
                }
                if let Some(real) = scene.real_path(mount) {
                    all.real.add(&real, container.id.clone());
                }
            }
        }
        all
    }

    /// Ids of the containers, running or not, that can change what is below `real`.
    pub fn of(&self, key: &SourceKey, real: &Path) -> Vec<String> {
        let named = match key {
            SourceKey::Volume { name } => self.volumes.get(name),
            SourceKey::Bind { .. } => None,
        };
        let named = named.into_iter().flatten();
        let placed = self.real.around(real).chain(self.real.within(real));
        let writers: BTreeSet<&String> = named.chain(placed).collect();
        writers.into_iter().cloned().collect()
    }
}

/// Whether `mount` of any container lets it change the source `key`, which is at `path`, as far as names tell: for a container that was not
/// there when discovery looked. Links are not resolved.
pub fn can_write(key: &SourceKey, path: &Path, mount: &Mount) -> bool {
    let volume = (mount.kind == MountKind::Volume).then_some(mount.name.as_str());
    let mounted = clean(&mount.source);
    mount.read_write
        && (is_volume(key, volume)
            || (mounted.is_absolute()
                && (overlap(path, &mounted)
                    || matches!(key, SourceKey::Bind { path: own } if overlap(own, &mounted)))))
}

fn is_volume(key: &SourceKey, mounted: Option<&str>) -> bool {
    matches!(key, SourceKey::Volume { name } if mounted == Some(name))
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
