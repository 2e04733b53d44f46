//! What the engine knows about a unit, as it says it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Captured;
use super::redact::{self, Removed};
use crate::drivers::docker::json::Json as _;
use crate::drivers::docker::{Engine, ImageRecord, neighbours};
use crate::error::Result;
use crate::model::point::{DOCUMENTS, dump_name};
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

/// `docker/engine.json`: what containers have of their host without having asked for it.
#[derive(Serialize)]
struct AboutEngine<'a> {
    /// Of the host.
    name: String,
    /// What it runs when nothing else is asked for, such as `linux/amd64`.
    platform: &'a str,
}

/// `docker/names.json`: the names of containers that are named by their ids, which are others on another host.
async fn names_of_others(
    engine: &Engine,
    inspected: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for named in inspected.values().flat_map(neighbours) {
        let is_id = named.len() >= 12 && named.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || names.contains_key(&named) {
            continue;
        }
        if let Some(other) = engine.raw_container(&named).await? {
            let name = other.at("Name").as_str().unwrap_or_default();
            names.insert(named, name.trim_start_matches('/').to_owned());
        }
    }
    Ok(names)
}

/// What Docker says of each container of `unit`, by its id.
pub async fn inspect(
    engine: &Engine,
    unit: &Unit,
    warnings: &mut Vec<String>,
) -> Result<BTreeMap<String, Value>> {
    let mut inspected = BTreeMap::new();
    for container in &unit.containers {
        match engine.raw_container(&container.id).await? {
            Some(inspect) => {
                inspected.insert(container.id.clone(), inspect);
            }
            None => warnings.push(format!(
                "container `{}` was removed meanwhile",
                container.name
            )),
        }
    }
    Ok(inspected)
}

/// Writes `docker/` and, if wanted, `secrets.json`: by container, `volume:<name>`, or `project:variables`.
pub async fn write(
    engine: &Engine,
    unit: &Unit,
    folder: &Path,
    mut inspected: BTreeMap<String, Value>,
    include_secrets: bool,
    captured: &mut Captured,
) -> Result<()> {
    let warnings = &mut captured.warnings;
    let mut documents = Documents {
        folder,
        all: BTreeMap::new(),
    };
    let mut secrets: BTreeMap<String, Removed> = BTreeMap::new();
    let mut keep = |name: String, removed: Removed| {
        if !removed.is_empty() {
            secrets.insert(name, removed);
        }
    };
    // No container and no volume has a colon in its name.
    keep(
        "project:variables".to_owned(),
        std::mem::take(&mut captured.secrets),
    );
    let names = names_of_others(engine, &inspected).await?;
    for container in &unit.containers {
        if let Some(mut inspect) = inspected.remove(&container.id) {
            keep(container.name.clone(), redact::container(&mut inspect));
            documents.add("docker/containers", &container.name, &inspect)?;
        }
    }
    for name in volumes(unit) {
        match engine.raw_volume(&name).await? {
            Some(mut inspect) => {
                keep(format!("volume:{name}"), redact::volume(&mut inspect));
                documents.add("docker/volumes", &name, &inspect)?;
            }
            None => warnings.push(format!("volume `{name}` was removed meanwhile")),
        }
    }
    for name in &unit.networks {
        match engine.raw_network(name).await? {
            Some(inspect) => documents.add("docker/networks", name, &inspect)?,
            None => warnings.push(format!("network `{name}` was removed meanwhile")),
        }
    }
    documents.add("docker", "images", &images(engine, unit).await?)?;
    documents.add("docker", "names", &names)?;
    let about = AboutEngine {
        name: engine.host_name().await?,
        platform: engine.platform(),
    };
    documents.add("docker", "engine", &about)?;
    write_json(folder, DOCUMENTS, &documents.all)?;
    if include_secrets && !secrets.is_empty() {
        write_json(folder, "secrets", &secrets)?;
    }
    Ok(())
}

/// What is written of the engine, by the paths in the recipe.
struct Documents<'a> {
    folder: &'a Path,
    all: BTreeMap<String, Value>,
}

impl Documents<'_> {
    fn add(&mut self, folder: &str, name: &str, value: &impl Serialize) -> Result<()> {
        write_json(&self.folder.join(folder), name, value)?;
        let path = format!("{folder}/{}", dump_name(name));
        self.all.insert(path, serde_json::to_value(value)?);
        Ok(())
    }
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
    let path = folder.join(dump_name(name));
    let write = || -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        Ok(())
    };
    write().with_context(|| {
        format!(
            "what Docker says of `{name}` cannot be written to `{}`",
            path.display()
        )
    })
}
