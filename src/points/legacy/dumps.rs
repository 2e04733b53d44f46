//! What `docker inspect` said of the containers of an old point, and what follows of it: it is all that is known of its
//! volumes, and of where its compose files were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::discovery::labels::{self, Labels};
use crate::model::point::REDACTED;

/// By the names of the containers.
#[derive(Debug, Default)]
pub struct Dumps(pub BTreeMap<String, Value>);

/// A mount as a dump has it.
#[derive(Debug)]
pub struct Mount<'a> {
    pub kind: &'a str,
    /// The name of a volume, the path of a bind.
    pub source: &'a str,
    pub destination: &'a str,
    pub driver: &'a str,
}

impl Dumps {
    /// `bytes` is a list of one container. False when it is anything else.
    pub fn add(&mut self, bytes: &[u8]) -> bool {
        let Ok([inspect]) = serde_json::from_slice::<[Value; 1]>(bytes) else {
            return false;
        };
        let name = text(&inspect, "/Name").trim_start_matches('/').to_owned();
        if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
            return false;
        }
        self.0.insert(name, inspect);
        true
    }

    /// Those of the container that was made last: after a move only new ones have the new paths.
    pub fn labels(&self) -> Labels {
        let newest = self
            .0
            .values()
            .filter(|inspect| inspect.pointer("/Config/Labels").is_some())
            .max_by_key(|inspect| text(inspect, "/Created"));
        newest.map(labels_of).unwrap_or_default()
    }

    /// The compose project, `None` for a container without one.
    pub fn project(&self) -> Option<String> {
        self.labels().remove(labels::PROJECT)
    }

    pub fn mounts(&self) -> impl Iterator<Item = Mount<'_>> {
        let mounts = self
            .0
            .values()
            .filter_map(|inspect| inspect.pointer("/Mounts")?.as_array());
        mounts.flatten().map(|mount| {
            let kind = text(mount, "/Type");
            Mount {
                kind,
                source: text(mount, if kind == "volume" { "/Name" } else { "/Source" }),
                destination: text(mount, "/Destination"),
                driver: text(mount, "/Driver"),
            }
        })
    }

    /// Names of the networks that the containers were on, the engine's own left out.
    pub fn networks(&self) -> BTreeSet<&str> {
        self.0
            .values()
            .filter_map(|inspect| inspect.pointer("/NetworkSettings/Networks")?.as_object())
            .flat_map(Map::keys)
            .map(String::as_str)
            .filter(|name| !matches!(*name, "bridge" | "host" | "none"))
            .collect()
    }

    /// The variables of each container whose values the old tool replaced.
    pub fn redacted(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, inspect) in &self.0 {
            let variables = inspect.pointer("/Config/Env").and_then(Value::as_array);
            for variable in variables.into_iter().flatten().filter_map(Value::as_str) {
                if let Some((variable, REDACTED)) = variable.split_once('=') {
                    found.entry(name).or_default().push(variable);
                }
            }
        }
        found
    }

    /// As a recipe of ours has them: `docker/…` by path.
    pub fn documents(&self) -> BTreeMap<String, Value> {
        let mut documents = BTreeMap::new();
        let mut images = Map::new();
        for (name, inspect) in &self.0 {
            documents.insert(format!("docker/containers/{name}.json"), inspect.clone());
            let image = json!({
                "image": text(inspect, "/Config/Image"), "id": text(inspect, "/Image"), "tags": [], "digests": [],
            });
            images.insert(name.clone(), image);
        }
        documents.insert("docker/images.json".to_owned(), Value::Object(images));
        for mount in self.mounts().filter(|mount| mount.kind == "volume") {
            if let Some(volume) = self.volume(&mount) {
                documents.insert(format!("docker/volumes/{}.json", mount.source), volume);
            }
        }
        documents
    }

    /// A volume as it has to be for compose to take it for its own. `None` when the name tells nothing: it may be somebody
    /// else's, or have a name that the compose file gave it.
    fn volume(&self, mount: &Mount) -> Option<Value> {
        let labels = match self.project() {
            None => Value::Null,
            Some(project) => {
                let name = mount.source.strip_prefix(&project)?.strip_prefix('_')?;
                let mut labels = Map::new();
                labels.insert(labels::PROJECT.to_owned(), project.clone().into());
                labels.insert(labels::VOLUME.to_owned(), name.into());
                Value::Object(labels)
            }
        };
        let driver = Some(mount.driver).filter(|driver| !driver.is_empty());
        Some(json!({
            "Name": mount.source, "Driver": driver.unwrap_or("local"), "Options": null, "Labels": labels,
        }))
    }

    /// Absolute paths in a label that is a list of them.
    pub fn paths(&self, label: &str) -> Vec<PathBuf> {
        labels::list(&self.labels(), label)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .collect()
    }
}

fn labels_of(inspect: &Value) -> Labels {
    let labels = inspect.pointer("/Config/Labels").and_then(Value::as_object);
    labels
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumps(labels: Value) -> Dumps {
        let mut dumps = Dumps::default();
        let one = json!([{
            "Name": "/web-db-1", "Created": "2026-01-01T00:00:00Z", "Image": "sha256:1",
            "Config": {"Image": "db:1", "Labels": labels, "Env": ["A=1", "DB_PASSWORD=***REDACTED***"]},
            "Mounts": [
                {"Type": "volume", "Name": "web_data", "Driver": "local", "Destination": "/data"},
                {"Type": "volume", "Name": "shared", "Driver": "", "Destination": "/shared"},
                {"Type": "bind", "Source": "/srv/x", "Destination": "/x"},
            ],
            "NetworkSettings": {"Networks": {"web_default": {}, "bridge": {}}},
        }]);
        assert!(dumps.add(one.to_string().as_bytes()));
        dumps
    }

    #[test]
    fn volumes_get_the_labels_of_their_project_where_their_names_tell_it() {
        let documents = dumps(json!({"com.docker.compose.project": "web"})).documents();
        let volume = &documents["docker/volumes/web_data.json"];
        assert_eq!(volume["Labels"]["com.docker.compose.volume"], "data");
        assert_eq!(volume["Labels"]["com.docker.compose.project"], "web");
        assert!(!documents.contains_key("docker/volumes/shared.json"));
        assert_eq!(documents["docker/images.json"]["web-db-1"]["image"], "db:1");
        let documents = dumps(Value::Null).documents();
        assert_eq!(documents["docker/volumes/shared.json"]["Driver"], "local");
    }

    #[test]
    fn what_was_replaced_is_named_and_odd_dumps_are_refused() {
        let dumps = dumps(Value::Null);
        assert_eq!(dumps.redacted()["web-db-1"], ["DB_PASSWORD"]);
        assert_eq!(dumps.networks(), BTreeSet::from(["web_default"]));
        for odd in [
            "",
            "[]",
            "{}",
            r#"[{"Name": "/../x"}]"#,
            r#"[{"Name": ""}]"#,
        ] {
            assert!(!Dumps::default().add(odd.as_bytes()), "{odd}");
        }
    }
}
