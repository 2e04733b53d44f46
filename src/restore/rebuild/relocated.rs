//! What was saved of a unit, as it has to be where the unit lives elsewhere, or is a copy: other paths, other names.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::discovery::{labels, place};
use crate::drivers::docker::json::Json as _;
use crate::error::Result;
use crate::model::UnitName;
use crate::points::saved::{Saved, container_name, text};
use crate::restore::plan::places::Places;

impl Saved {
    /// Puts the bind mounts that are `restored` at their new paths, and the names of a copy in the place of those of `unit`.
    pub fn relocate(
        &mut self,
        unit: &UnitName,
        places: &Places,
        restored: &[PathBuf],
    ) -> Result<()> {
        for container in &mut self.containers {
            move_binds(container, places, restored)?;
        }
        if let Some(project) = places.project() {
            let (old, new) = (unit.as_str(), project.as_str());
            for container in &mut self.containers {
                rename_container(container, old, new);
            }
            for network in self
                .networks
                .iter_mut()
                .filter(|network| is_of(network, old))
            {
                let name = renamed(text(network.at("Name")), old, new);
                network.set("Name", name.into());
                relabel(network, new);
            }
        }
        Ok(())
    }
}

fn move_binds(container: &mut Value, places: &Places, restored: &[PathBuf]) -> Result<()> {
    let moved = |source: &str| -> Result<Option<String>> {
        let source = place::clean(Path::new(source));
        if !restored.iter().any(|path| source.starts_with(path)) {
            return Ok(None);
        }
        Ok(Some(places.path(&source)?.to_string_lossy().into_owned()))
    };
    if let Some(Value::Array(binds)) = container.pointer_mut("/HostConfig/Binds") {
        for bind in binds {
            let Some((source, rest)) = bind.as_str().and_then(|bind| bind.split_once(':')) else {
                continue;
            };
            if source.starts_with('/')
                && let Some(moved) = moved(source)?
            {
                *bind = format!("{moved}:{rest}").into();
            }
        }
    }
    for list in ["/HostConfig/Mounts", "/Mounts"] {
        let Some(Value::Array(mounts)) = container.pointer_mut(list) else {
            continue;
        };
        for mount in mounts
            .iter_mut()
            .filter(|mount| text(mount.at("Type")) == "bind")
        {
            if let Some(moved) = moved(text(mount.at("Source")))? {
                mount.set("Source", moved.into());
            }
        }
    }
    Ok(())
}

fn rename_container(container: &mut Value, old: &str, new: &str) {
    let name = container_name(container).to_owned();
    let made = ["-", "_"]
        .iter()
        .any(|by| name.starts_with(&format!("{old}{by}")));
    let name = if made {
        name.replacen(old, new, 1)
    } else {
        format!("{new}-{name}")
    };
    container.set("Name", format!("/{name}").into());
    if let Some(labels) = container.pointer_mut("/Config/Labels") {
        labels.set(labels::PROJECT, new.into());
    }
    if let Some(Value::Object(networks)) = container.pointer_mut("/NetworkSettings/Networks") {
        let renamed: Map<String, Value> = std::mem::take(networks)
            .into_iter()
            .map(|(name, endpoint)| (renamed(&name, old, new), endpoint))
            .collect();
        *networks = renamed;
    }
}

fn is_of(network: &Value, project: &str) -> bool {
    text(network.at("Labels").at(labels::PROJECT)) == project
}

fn relabel(network: &mut Value, project: &str) {
    if let Some(labels) = network.get_mut("Labels") {
        labels.set(labels::PROJECT, project.into());
    }
}

/// `web_default` → `copy_default`; a name that is not made from the project's stays.
fn renamed(name: &str, old: &str, new: &str) -> String {
    match name.strip_prefix(old) {
        Some(key) if key.starts_with('_') => format!("{new}{key}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::restore::request::Destination;

    #[test]
    fn a_copy_has_names_and_paths_of_its_own() {
        let mut saved = Saved {
            containers: vec![json!({
                "Name": "/web-db-1",
                "Config": {"Labels": {"com.docker.compose.project": "web"}},
                "HostConfig": {"Binds": ["/opt/web/data:/data:rw", "web_v:/v", "/etc/hosts:/h:ro"]},
                "Mounts": [{"Type": "bind", "Source": "/opt/web/data"}, {"Type": "volume", "Source": "/opt/web/data"}],
                "NetworkSettings": {"Networks": {"web_back": {"x": 1}, "shared": {}}},
            })],
            networks: vec![
                json!({"Name": "web_back", "Labels": {"com.docker.compose.project": "web"}}),
                json!({"Name": "shared", "Labels": {}}),
            ],
            ..Saved::default()
        };
        let places = Places::new(
            Destination::Moved {
                folder: "/new".into(),
                project: UnitName::parse("copy").ok(),
            },
            Some("/opt/web".into()),
        );
        let unit = UnitName::parse("web").unwrap();
        saved
            .relocate(&unit, &places, &["/opt/web/data".into()])
            .unwrap();
        let container = &saved.containers[0];
        assert_eq!(container["Name"], "/copy-db-1");
        assert_eq!(
            container["HostConfig"]["Binds"],
            json!(["/new/data:/data:rw", "web_v:/v", "/etc/hosts:/h:ro"])
        );
        assert_eq!(container["Mounts"][0]["Source"], "/new/data");
        assert_eq!(container["Mounts"][1]["Source"], "/opt/web/data");
        let networks = &container["NetworkSettings"]["Networks"];
        assert_eq!(*networks, json!({"copy_back": {"x": 1}, "shared": {}}));
        assert_eq!(saved.networks[0]["Name"], "copy_back");
        assert_eq!(
            saved.networks[0]["Labels"]["com.docker.compose.project"],
            "copy"
        );
        assert_eq!(saved.networks[1]["Name"], "shared");
    }
}
