//! The engine's side of a unit as its point has it.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::docker::json::Json as _;
use crate::docker::rename_neighbours;
use crate::error::Result;
use crate::kopia::Kopia;
use crate::model::ObjectId;

/// How many kopia processes fetch files.
const AT_ONCE: usize = 4;

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

impl Saved {
    /// Reads it from a recipe. What is damaged is a problem and no error: data is restored without it.
    pub async fn read(kopia: &Kopia, root: &ObjectId) -> Result<Self> {
        let mut saved = Self::default();
        let (containers, networks, images, names, engine, secrets) = tokio::try_join!(
            folder(kopia, root, "docker/containers"),
            folder(kopia, root, "docker/networks"),
            kopia.read_file(root, "docker/images.json"),
            kopia.read_file(root, "docker/names.json"),
            kopia.read_file(root, "docker/engine.json"),
            kopia.read_file(root, "secrets.json"),
        )?;
        saved.containers = saved.parse_all(containers);
        saved.networks = saved.parse_all(networks);
        saved.images = saved
            .parse("docker/images.json", images)
            .unwrap_or_default();
        saved.engine = saved
            .parse("docker/engine.json", engine)
            .unwrap_or_default();
        let names: Option<BTreeMap<String, String>> = saved.parse("docker/names.json", names);
        if let Some(names) = names {
            // Ids are other ones on another host, and after every re-creation.
            for container in &mut saved.containers {
                rename_neighbours(container, |id| names.get(id).cloned());
            }
        }
        saved.secrets = saved.parse("secrets.json", secrets).unwrap_or_default();
        Ok(saved)
    }

    /// From documents that are read already, by their path in a recipe.
    pub fn of_documents(documents: &BTreeMap<String, Value>) -> Self {
        let below = |folder: &str| -> Vec<Value> {
            let inside = documents
                .iter()
                .filter(|(path, _)| path.starts_with(folder));
            inside.map(|(_, document)| document.clone()).collect()
        };
        let images = documents.get("docker/images.json").cloned();
        Self {
            containers: below("docker/containers/"),
            networks: below("docker/networks/"),
            images: images
                .and_then(|images| serde_json::from_value(images).ok())
                .unwrap_or_default(),
            ..Self::default()
        }
    }

    fn parse<T: DeserializeOwned>(&mut self, path: &str, bytes: Option<Vec<u8>>) -> Option<T> {
        match serde_json::from_slice(&bytes?) {
            Ok(value) => Some(value),
            // Not the parser's words: they quote what they can't read.
            Err(_) => {
                self.problems
                    .push(format!("`{path}` in the recipe is damaged"));
                None
            }
        }
    }

    fn parse_all(&mut self, files: Vec<(String, Option<Vec<u8>>)>) -> Vec<Value> {
        files
            .into_iter()
            .filter_map(|(path, bytes)| self.parse(&path, bytes))
            .collect()
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

async fn folder(kopia: &Kopia, root: &ObjectId, path: &str) -> Result<Vec<File>> {
    let entries = kopia.read_folder(root, path).await?.unwrap_or_default();
    stream::iter(entries.into_iter().filter(|entry| entry.is_file()))
        .map(|entry| async move {
            let path = format!("{path}/{}", entry.name);
            let bytes = kopia.read_file(root, &path).await?;
            Ok((path, bytes))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
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
