//! What a project's compose files cannot know of its new home: bind mounts at other paths, names that a copy must not share
//! with the original. Written as one more compose file, which the others are overlaid with.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::places::Places;
use super::unnamed::Wire;
use crate::base::blocking::{aside, looked_up};
use crate::discovery::{labels, place};
use crate::drivers::docker::json::Json as _;
use crate::error::{Exit, Failure, Result};
use crate::model::point::SourceRecord;
use crate::model::{SourceKey, UnitName};
use crate::points::recipe::Recipe;
use crate::points::saved::Saved;

/// Compose finds it by itself beside a file with one of [`DEFAULT_FILES`].
const FOUND_BY_ITSELF: &str = "compose.override.yaml";

/// Otherwise it has to be named.
const NAMED: &str = "compose.kopi-docka.yaml";

/// How each of ours begins.
const HEAD: &str = "# Written by kopi-docka";

const DEFAULT_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// Adds the overlay to the files of `recipe`. Returns the paths of the bind mounts that move.
pub async fn write(
    recipe: &mut Recipe,
    saved: &Saved,
    places: &Places,
    sources: &[SourceRecord],
    wires: &[Wire],
) -> Result<Vec<PathBuf>> {
    let moving = if places.is_move() { sources } else { &[] };
    let binds: Vec<PathBuf> = moving
        .iter()
        .filter_map(|source| match &source.key {
            SourceKey::Bind { path } => Some(path.clone()),
            SourceKey::Volume { .. } => None,
        })
        .collect();
    let unit = recipe.record.unit.clone();
    let Some(project) = &recipe.record.project else {
        if places.project().is_some() {
            return Err(Failure::new(
                Exit::Usage,
                format!("`{unit}` is not a compose project: `--project` cannot make a copy of it"),
            )
            .hint("`--volume` (can be repeated), with `--target DIR` takes its data as plain directories")
            .into());
        }
        return Ok(binds);
    };
    let overlay = overlay(&unit, &saved.containers, places, &binds, wires)?;
    let (Some(overlay), Some(folder)) = (overlay, &project.working_dir) else {
        return Ok(binds);
    };
    let mut path = folder.join(file_name(&project.compose_files));
    let mut number = 2;
    while recipe.record.files.iter().any(|file| file.path == path)
        || (!places.is_move() && is_anothers(path.clone()).await?)
    {
        path = folder.join(format!("compose.kopi-docka-{number}.yaml"));
        number += 1;
    }
    let text = format!("{HEAD}: what the other files cannot know here.\n{overlay:#}\n");
    recipe.add_compose_file(path, text.as_bytes())?;
    Ok(binds)
}

/// Whether a file that is not one of ours is there.
async fn is_anothers(path: PathBuf) -> Result<bool> {
    let look = aside(move || {
        Ok(match std::fs::read(&path) {
            Ok(text) => !text.starts_with(HEAD.as_bytes()),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        })
    });
    looked_up(look).await
}

/// The name of the overlay beside `files`, the project's own in order.
fn file_name(files: &[PathBuf]) -> &'static str {
    let is_default = |file: &PathBuf| {
        file.file_name()
            .is_some_and(|name| DEFAULT_FILES.iter().any(|default| name == *default))
    };
    match files {
        [file] if is_default(file) => FOUND_BY_ITSELF,
        _ => NAMED,
    }
}

/// The overlay, as JSON, which is YAML; `None` when nothing is different. `containers` are as `docker inspect` had them,
/// `restored` the paths of the bind mounts that move.
fn overlay(
    unit: &UnitName,
    containers: &[Value],
    places: &Places,
    restored: &[PathBuf],
    wires: &[Wire],
) -> Result<Option<Value>> {
    let mut services = Map::new();
    for container in containers {
        let Some(service) = label(container, labels::SERVICE) else {
            continue;
        };
        let mut overlaid = Map::new();
        let mut mounts = binds(container, places, restored)?;
        let wired = wires.iter().filter(|wire| wire.service == service);
        mounts.extend(wired.map(mount_of));
        if !mounts.is_empty() {
            overlaid.insert("volumes".to_owned(), mounts.into());
        }
        if let Some(project) = places.project()
            && let Some(name) = own_name(container, unit, service)
        {
            overlaid.insert(
                "container_name".to_owned(),
                format!("{project}-{name}").into(),
            );
        }
        if !overlaid.is_empty() {
            services.insert(service.to_owned(), overlaid.into());
        }
    }
    let mut volumes: Map<String, Value> = places
        .explicit_volumes()
        .map(|renamed| {
            let mut volume = json!({"name": renamed.name});
            if let Some(device) = &renamed.device {
                volume.set("driver_opts", json!({ "device": device }));
            }
            (renamed.key.clone(), volume)
        })
        .collect();
    // It is there before the stack is started, and `docker compose down --volumes` leaves it alone.
    volumes.extend(wires.iter().map(|wire| {
        let volume = json!({"name": wire.volume, "external": true});
        (wire.key(), volume)
    }));
    let mut overlay = Map::new();
    for (key, part) in [("services", services), ("volumes", volumes)] {
        if !part.is_empty() {
            overlay.insert(key.to_owned(), part.into());
        }
    }
    Ok((!overlay.is_empty()).then(|| overlay.into()))
}

fn mount_of(wire: &Wire) -> Value {
    let mut mount = json!({"type": "volume", "source": wire.key(), "target": wire.at});
    if wire.is_read_only {
        mount.set("read_only", true.into());
    }
    mount
}

/// The bind mounts of a container whose data moves, at their new paths. Compose puts them in the place of those with the same target.
fn binds(container: &Value, places: &Places, restored: &[PathBuf]) -> Result<Vec<Value>> {
    let mut binds = Vec::new();
    let mounts = container.get("Mounts").and_then(Value::as_array);
    for mount in mounts.into_iter().flatten() {
        let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let source = place::clean(Path::new(text("Source")));
        let moves = restored.iter().any(|path| source.starts_with(path));
        if text("Type") != "bind" || !moves {
            continue;
        }
        let mut bind = json!({
            "type": "bind",
            "source": places.path(&source)?,
            "target": text("Destination"),
        });
        if let Value::Object(fields) = &mut bind {
            if mount.get("RW").and_then(Value::as_bool) == Some(false) {
                fields.insert("read_only".to_owned(), true.into());
            }
            let propagation = text("Propagation");
            if !matches!(propagation, "" | "rprivate") {
                fields.insert("bind".to_owned(), json!({ "propagation": propagation }));
            }
        }
        binds.push(bind);
    }
    Ok(binds)
}

/// The name of a container when it was given one (`container_name`), and not made from the project's.
fn own_name<'a>(container: &'a Value, unit: &UnitName, service: &str) -> Option<&'a str> {
    let name = container.get("Name")?.as_str()?.trim_start_matches('/');
    let number = label(container, labels::NUMBER).unwrap_or("1");
    let is_made = ["-", "_"]
        .iter()
        .any(|by| name == [unit.as_str(), service, number].join(by));
    (!is_made).then_some(name)
}

fn label<'a>(container: &'a Value, key: &str) -> Option<&'a str> {
    container.get("Config")?.get("Labels")?.get(key)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::request::Destination;

    fn container(name: &str, service: &str, mounts: Value) -> Value {
        json!({
            "Name": format!("/{name}"), "Mounts": mounts,
            "Config": {"Labels": {"com.docker.compose.service": service, "com.docker.compose.container-number": "1"}},
        })
    }

    fn places(project: Option<&str>) -> Places {
        let to = Destination::Moved {
            folder: "/new".into(),
            project: project.map(|name| UnitName::parse(name).unwrap()),
        };
        Places::new(to, Some("/opt/web".into()))
    }

    fn overlaid(places: &Places, containers: &[Value]) -> Option<Value> {
        let restored = ["/opt/web/data", "/srv/media"].map(PathBuf::from);
        overlay(
            &UnitName::parse("web").unwrap(),
            containers,
            places,
            &restored,
            &[],
        )
        .unwrap()
    }

    #[test]
    fn a_volume_without_a_name_is_named_for_its_place() {
        let volume = "0123456789abcdef".repeat(4);
        let wire = Wire {
            service: "app".to_owned(),
            id: volume.clone(),
            volume: volume.clone(),
            at: "/index".to_owned(),
            is_read_only: true,
        };
        let places = Places::new(Destination::InPlace, Some("/opt/web".into()));
        let containers = [
            container("web-app-1", "app", json!([])),
            container("web-db-1", "db", json!([])),
        ];
        let unit = UnitName::parse("web").unwrap();
        let found = overlay(&unit, &containers, &places, &[], &[wire]).unwrap();
        let mount = json!({"type": "volume", "source": "kopi-docka-0123456789ab", "target": "/index", "read_only": true});
        assert_eq!(
            found.unwrap(),
            json!({
                "services": {"app": {"volumes": [mount]}},
                "volumes": {"kopi-docka-0123456789ab": {"name": volume, "external": true}},
            })
        );
    }

    #[test]
    fn binds_move_and_what_was_not_saved_stays() {
        let bind = |source: &str, target: &str, rw: bool| json!({"Type": "bind", "Source": source, "Destination": target, "RW": rw, "Propagation": "rprivate"});
        let mounts = json!([
            bind("/opt/web/data", "/data", true),
            bind("/srv/media/films", "/films", false),
            bind("/etc/localtime", "/etc/localtime", false),
            {"Type": "volume", "Name": "v", "Source": "/opt/web/data", "Destination": "/v"},
        ]);
        let found = overlaid(&places(None), &[container("web-app-1", "app", mounts)]).unwrap();
        assert_eq!(
            found,
            json!({"services": {"app": {"volumes": [
                {"type": "bind", "source": "/new/data", "target": "/data"},
                {"type": "bind", "source": "/new/outside/srv/media/films", "target": "/films", "read_only": true},
            ]}}})
        );
        let nothing = container("web-app-1", "app", json!([]));
        assert_eq!(overlaid(&places(None), &[nothing]), None);
    }

    #[test]
    fn a_copy_shares_no_name_with_the_original() {
        let containers = [
            container("web-app-1", "app", json!([])),
            container("web_old_1", "old", json!([])),
            container("database", "db", json!([])),
        ];
        let found = overlaid(&places(Some("copy")), &containers).unwrap();
        assert_eq!(
            found,
            json!({"services": {"db": {"container_name": "copy-database"}}})
        );
        assert_eq!(overlaid(&places(None), &containers), None);
    }

    #[test]
    fn it_is_found_by_itself_only_beside_a_default_file() {
        let name = |files: &[&str]| file_name(&files.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(name(&["/a/compose.yaml"]), "compose.override.yaml");
        assert_eq!(name(&["/a/docker-compose.yml"]), "compose.override.yaml");
        for other in [
            &["/a/prod.yaml"][..],
            &["/a/compose.yaml", "/a/compose.override.yaml"],
            &[],
        ] {
            assert_eq!(name(other), "compose.kopi-docka.yaml");
        }
    }
}
