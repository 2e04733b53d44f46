//! What a service of a copy has mounted: volumes of the drill, what lies in its directory, and memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::given::{Given, Placed, Wanted, escaped, plain};
use crate::discovery::place;
use crate::drivers::docker::json::Json as _;
use crate::model::drill::Dropped;
use crate::points::saved::text;

/// What all services of a copy mount.
#[derive(Debug, Default)]
pub struct Mounted {
    /// Names of the drill's volumes, by those of the original.
    pub volumes: BTreeMap<String, String>,
    /// Paths that must not lead out of what was restored, with that.
    pub within: Vec<(PathBuf, PathBuf)>,
}

impl Mounted {
    pub fn volume(&mut self, given: &Given<'_>, name: &str) -> String {
        let ours = self.volumes.entry(name.to_owned());
        ours.or_insert_with(|| format!("{}_{name}", given.project))
            .clone()
    }

    /// The mounts of one service. `config` is of its set of files.
    pub fn of_service(
        &mut self,
        given: &Given<'_>,
        (name, wanted): (&str, &Wanted),
        (service, config): (&Value, &Value),
        dropped: &mut Vec<Dropped>,
    ) -> Vec<Value> {
        let mut mounts = Vec::new();
        let mut targets: Vec<PathBuf> = Vec::new();
        let asked = service.at("volumes").as_array().into_iter().flatten();
        for mount in asked {
            let target = place::clean(Path::new(&plain(text(mount.at("target")))));
            let unnamed = wanted
                .unnamed
                .iter()
                .find(|(_, at, _)| place::clean(Path::new(at)) == target);
            let made = match (text(mount.at("type")), unnamed) {
                ("volume", Some((volume, ..))) if text(mount.at("source")).is_empty() => {
                    Ok(self.of_volume(given, volume, mount))
                }
                ("volume", _) => Ok(self.named(given, mount, config)),
                ("bind", _) => self.bind(given, mount),
                ("tmpfs", _) => Ok(only(mount, &["type", "target", "tmpfs"])),
                (kind, _) => Err(format!("a mount of type {kind} at `{}`", target.display())),
            };
            match made {
                Ok(mount) => {
                    targets.push(target);
                    mounts.push(mount);
                }
                Err(what) => dropped.push(Dropped {
                    service: Some(name.to_owned()),
                    what,
                }),
            }
        }
        // Those that only the image asks for.
        for (volume, at, is_read_only) in &wanted.unnamed {
            if !targets.contains(&place::clean(Path::new(at))) {
                let asked = json!({"target": escaped(at), "read_only": is_read_only});
                mounts.push(self.of_volume(given, volume, &asked));
            }
        }
        mounts
    }

    fn named(&mut self, given: &Given<'_>, mount: &Value, config: &Value) -> Value {
        let key = text(mount.at("source"));
        if key.is_empty() {
            // Docker makes one for the container alone.
            return only(mount, &["type", "target", "read_only"]);
        }
        let volume = config.at("volumes").at(key);
        let name = match text(volume.at("name")) {
            "" => key.to_owned(),
            name => plain(name),
        };
        self.of_volume(given, &name, mount)
    }

    fn of_volume(&mut self, given: &Given<'_>, name: &str, asked: &Value) -> Value {
        let ours = self.volume(given, name);
        let mut mount = json!({"type": "volume", "source": ours, "target": asked.at("target")});
        let options = only(asked.at("volume"), &["nocopy", "subpath"]);
        if options
            .as_object()
            .is_some_and(|options| !options.is_empty())
        {
            mount.set("volume", options);
        }
        read_only(mount, asked)
    }

    fn bind(&mut self, given: &Given<'_>, asked: &Value) -> Result<Value, String> {
        let source = plain(text(asked.at("source")));
        let is_read_only = asked.at("read_only") == true;
        let original = super::super::saved_files::original(given.folder, Path::new(&source));
        match (given.place)(&original, is_read_only) {
            Placed::Dropped(why) => Err(format!("bind mount `{}`: {why}", original.display())),
            Placed::At { path, root } => {
                self.within.extend(root.map(|root| (root, path.clone())));
                let mount = json!({
                    "type": "bind", "source": escaped(&path.to_string_lossy()), "target": asked.at("target"),
                    "bind": {"create_host_path": false},
                });
                Ok(read_only(mount, asked))
            }
        }
    }
}

fn read_only(mut mount: Value, asked: &Value) -> Value {
    if asked.at("read_only") == true {
        mount.set("read_only", true.into());
    }
    mount
}

fn only(value: &Value, keys: &[&str]) -> Value {
    let mut kept = Map::new();
    for key in keys {
        if !value.at(key).is_null() {
            kept.insert((*key).to_owned(), value.at(key).clone());
        }
    }
    kept.into()
}
