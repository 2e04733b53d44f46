//! The engine's side of a unit as its point has it.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::drivers::docker::json::Json as _;
use crate::drivers::docker::rename_neighbours;
use crate::drivers::kopia::{Kopia, PROCESSES};
use crate::error::Result;
use crate::model::ObjectId;

/// Where a recipe has the values that were taken out of its documents.
const SECRETS: &str = "secrets.json";

/// Can be filled from any kind of point. Not `Debug`: it holds secrets.
#[derive(Default)]
pub struct Saved {
    /// What `docker inspect` said of each container; values of telling variables replaced.
    pub containers: Vec<Value>,
    /// What `docker network inspect` said of each network that they were on, the engine's own left out.
    pub networks: Vec<Value>,
    /// The host that they ran on; nothing is known of it in older points.
    pub engine: SavedEngine,
    /// By container.
    pub images: BTreeMap<String, SavedImage>,
    /// What was replaced: by container, or `volume:<name>`, then by name.
    pub secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// What could not be read of it, one sentence each.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SavedImage {
    /// What the container was made from, as it was named then.
    pub image: String,
    #[serde(default)]
    pub id: String,
    #[serde(default)]
    pub digests: Vec<String>,
    /// What it was built for, such as `linux/arm64`.
    #[serde(default)]
    pub platform: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct SavedEngine {
    /// Of its host.
    pub name: String,
    /// Such as `linux/amd64`.
    pub platform: String,
}

impl SavedImage {
    /// The platform that was asked for: another one than the host has by itself.
    pub fn asked_platform(&self, engine: &SavedEngine) -> Option<&str> {
        let is_known = !self.platform.is_empty() && !engine.platform.is_empty();
        (is_known && self.platform != engine.platform).then_some(&self.platform)
    }
}

/// What Docker said, by the path in a recipe: `docker/images.json`.
pub type Documents = BTreeMap<String, Value>;

impl Saved {
    /// Reads it from a recipe, of which `documents` are known where it has them in one file. What is damaged is a problem and no error:
    /// data is restored without it.
    pub async fn read(
        kopia: &Kopia,
        root: &ObjectId,
        documents: Option<&Documents>,
    ) -> Result<Self> {
        let mut problems = Vec::new();
        let secrets = kopia.read_file(root, SECRETS);
        let (read, secrets) = match documents {
            Some(_) => (Documents::new(), secrets.await?),
            None => {
                let (files, secrets) = tokio::try_join!(files(kopia, root), secrets)?;
                (parse_all(files, &mut problems), secrets)
            }
        };
        let mut saved = Self::of_documents(documents.unwrap_or(&read));
        saved.problems.splice(0..0, problems);
        if let Some(secrets) = secrets {
            // Not the parser's words: they quote what they cannot read.
            match serde_json::from_slice(&secrets) {
                Ok(secrets) => saved.secrets = secrets,
                Err(_) => saved.problems.push(damaged(SECRETS)),
            }
        }
        Ok(saved)
    }

    /// From documents that are read already, by their path in a recipe.
    pub fn of_documents(documents: &Documents) -> Self {
        let below = |folder: &str| -> Vec<Value> {
            let inside = documents
                .iter()
                .filter(|(path, _)| path.starts_with(folder));
            inside.map(|(_, document)| document.clone()).collect()
        };
        let mut problems = Vec::new();
        let mut saved = Self {
            containers: below("docker/containers/"),
            networks: below("docker/networks/"),
            images: typed(documents, "docker/images.json", &mut problems),
            engine: typed(documents, "docker/engine.json", &mut problems),
            ..Self::default()
        };
        let names: BTreeMap<String, String> = typed(documents, "docker/names.json", &mut problems);
        // Ids are other ones on another host, and after every re-creation.
        for container in &mut saved.containers {
            rename_neighbours(container, |id| names.get(id).cloned());
        }
        saved.problems = problems;
        saved
    }

    /// The platform that was asked for when the container was made: its image was built for another one than the host's.
    pub fn asked_platform(&self, container: &str) -> Option<&str> {
        self.images.get(container)?.asked_platform(&self.engine)
    }

    pub fn container(&self, name: &str) -> Option<&Value> {
        self.containers
            .iter()
            .find(|container| container_name(container) == name)
    }
}

type File = (String, Option<Vec<u8>>);

/// The documents of a recipe that has them in files of their own.
async fn files(kopia: &Kopia, root: &ObjectId) -> Result<Vec<File>> {
    let single = ["images", "names", "engine"].map(|name| format!("docker/{name}.json"));
    let [images, names, engine] = &single;
    let (mut all, networks, images, names, engine) = tokio::try_join!(
        folder(kopia, root, "docker/containers"),
        folder(kopia, root, "docker/networks"),
        kopia.read_file(root, images),
        kopia.read_file(root, names),
        kopia.read_file(root, engine),
    )?;
    all.extend(networks);
    all.extend(single.into_iter().zip([images, names, engine]));
    Ok(all)
}

async fn folder(kopia: &Kopia, root: &ObjectId, path: &str) -> Result<Vec<File>> {
    let entries = kopia.read_folder(root, path).await?.unwrap_or_default();
    stream::iter(entries.into_iter().filter(|entry| entry.is_file()))
        .map(|entry| async move {
            let path = format!("{path}/{}", entry.name);
            let bytes = kopia.read_file(root, &path).await?;
            Ok((path, bytes))
        })
        .buffered(PROCESSES)
        .try_collect()
        .await
}

fn parse_all(files: Vec<File>, problems: &mut Vec<String>) -> Documents {
    let mut documents = Documents::new();
    for (path, bytes) in files {
        match bytes.map(|bytes| serde_json::from_slice(&bytes)) {
            Some(Ok(document)) => {
                documents.insert(path, document);
            }
            Some(Err(_)) => problems.push(damaged(&path)),
            None => {}
        }
    }
    documents
}

/// The document at `path`; the default where there is none, or it is none of these.
fn typed<T: DeserializeOwned + Default>(
    documents: &Documents,
    path: &str,
    problems: &mut Vec<String>,
) -> T {
    let Some(document) = documents.get(path) else {
        return T::default();
    };
    T::deserialize(document).unwrap_or_else(|_| {
        problems.push(damaged(path));
        T::default()
    })
}

fn damaged(path: &str) -> String {
    format!("`{path}` in the recipe is damaged")
}

/// Without the leading slash.
pub fn container_name(inspect: &Value) -> &str {
    text(inspect.at("Name")).trim_start_matches('/')
}

/// A string, or nothing.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The strings of a list, or nothing.
pub fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// The fields of an object, or nothing.
pub fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The networks that a container is on, each with its endpoint there.
pub fn endpoints(inspect: &Value) -> impl Iterator<Item = (&String, &Value)> {
    fields(inspect.at("NetworkSettings").at("Networks"))
}

/// Addresses that were asked for, and not given out by Docker.
pub fn fixed_addresses(endpoint: &Value) -> impl Iterator<Item = &str> {
    ["IPv4Address", "IPv6Address"]
        .into_iter()
        .map(|key| text(endpoint.at("IPAMConfig").at(key)))
        .filter(|address| !address.is_empty())
}
