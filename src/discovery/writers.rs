//! Who could write to a source, on the whole host.

use std::path::{Path, PathBuf};

use super::place::clean;
use super::scene::Scene;
use crate::model::source::{Source, SourceKey};
use crate::model::unit::{Mount, MountKind};

/// Every mount on the host that can be written to.
pub struct Writes {
    all: Vec<Write>,
}

struct Write {
    container: String,
    volume: Option<String>,
    real: Option<PathBuf>,
}

impl Writes {
    pub fn new(scene: &Scene) -> Self {
        let all = scene
            .containers
            .iter()
            .flat_map(|container| container.mounts.iter().map(move |mount| (container, mount)))
            .filter(|(_, mount)| mount.read_write)
            .map(|(container, mount)| Write {
                container: container.id.clone(),
                volume: (mount.kind == MountKind::Volume).then(|| mount.name.clone()),
                real: scene.real_path(mount),
            })
            .collect();
        Self { all }
    }

    /// Ids of the containers, running or not, that can change what is below `real`.
    pub fn of(&self, key: &SourceKey, real: &Path) -> Vec<String> {
        let mut writers: Vec<String> = self
            .all
            .iter()
            .filter(|write| {
                is_volume(key, write.volume.as_deref())
                    || write
                        .real
                        .as_deref()
                        .is_some_and(|other| overlap(real, other))
            })
            .map(|write| write.container.clone())
            .collect();
        writers.sort();
        writers.dedup();
        writers
    }
}

/// Whether `mount` of any container lets it change `source`, as far as names tell: for a container that was not
/// there when discovery looked. Links are not resolved.
pub fn can_write(source: &Source, mount: &Mount) -> bool {
    let volume = (mount.kind == MountKind::Volume).then_some(mount.name.as_str());
    let path = clean(&mount.source);
    mount.read_write
        && (is_volume(&source.key, volume)
            || (path.is_absolute()
                && (overlap(&source.path, &path)
                    || matches!(&source.key, SourceKey::Bind { path: own } if overlap(own, &path)))))
}

fn is_volume(key: &SourceKey, mounted: Option<&str>) -> bool {
    matches!(key, SourceKey::Volume { name } if mounted == Some(name))
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}
