//! What the engine knows about a unit, as it says it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use super::redact::{self, Removed};
use crate::docker::{Engine, ImageRecord};
use crate::error::Result;
use crate::model::source::SourceKey;
use crate::model::unit::MountKind;
use crate::model::{Source, Unit};

/// One line of `docker/images.json`.
#[derive(Serialize)]
struct ContainerImage<'a> {
    /// What the container was made from, as it was named then.
    image: &'a str,
    #[serde(flatten)]
    record: Option<&'a ImageRecord>,
}

/// Writes `docker/` and, if wanted, `secrets.json`: by container, or `volume:<name>`.
pub async fn write(
    engine: &Engine,
    unit: &Unit,
    folder: &Path,
    include_secrets: bool,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let docker = folder.join("docker");
    let mut secrets: BTreeMap<String, Removed> = BTreeMap::new();
    let mut keep = |name: String, removed: Removed| {
        if !removed.is_empty() {
            secrets.insert(name, removed);
        }
    };
    for container in &unit.containers {
        match engine.raw_container(&container.id).await? {
            Some(mut inspect) => {
                keep(container.name.clone(), redact::container(&mut inspect));
                write_json(&docker.join("containers"), &container.name, &inspect)?;
            }
            None => warnings.push(format!(
                "container `{}` was removed meanwhile",
                container.name
            )),
        }
    }
    for name in volumes(unit) {
        match engine.raw_volume(&name).await? {
            Some(mut inspect) => {
                keep(format!("volume:{name}"), redact::volume(&mut inspect));
                write_json(&docker.join("volumes"), &name, &inspect)?;
            }
            None => warnings.push(format!("volume `{name}` was removed meanwhile")),
        }
    }
    for name in &unit.networks {
        match engine.raw_network(name).await? {
            Some(inspect) => write_json(&docker.join("networks"), name, &inspect)?,
            None => warnings.push(format!("network `{name}` was removed meanwhile")),
        }
    }
    write_json(&docker, "images", &images(engine, unit).await?)?;
    if include_secrets && !secrets.is_empty() {
        write_json(folder, "secrets", &secrets)?;
    }
    Ok(())
}

/// Every volume of the unit, also those that no data is saved of: they have to be made again.
fn volumes(unit: &Unit) -> BTreeSet<String> {
    fn of_source(source: &Source) -> Option<String> {
        match &source.key {
            SourceKey::Volume { name } => Some(name.clone()),
            SourceKey::Bind { .. } => None,
        }
    }
    unit.containers
        .iter()
        .flat_map(|container| &container.mounts)
        .filter(|mount| mount.kind == MountKind::Volume)
        .map(|mount| mount.name.clone())
        .chain(unit.sources.iter().filter_map(of_source))
        .collect()
}

async fn images(engine: &Engine, unit: &Unit) -> Result<Map<String, Value>> {
    let ids: BTreeSet<String> = unit
        .containers
        .iter()
        .map(|container| container.image_id.clone())
        .filter(|id| !id.is_empty())
        .collect();
    let records = engine.image_records(&ids).await?;
    let mut images = Map::new();
    for container in &unit.containers {
        let record = records
            .iter()
            .find(|record| record.id == container.image_id);
        let image = ContainerImage {
            image: &container.image,
            record,
        };
        images.insert(container.name.clone(), serde_json::to_value(image)?);
    }
    Ok(images)
}

/// `<folder>/<name>.json`, for its owner alone.
fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    // Names of networks are free text.
    let name: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(format!("{name}.json")))?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    Ok(())
}
