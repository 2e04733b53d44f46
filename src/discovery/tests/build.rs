//! A host in a few lines: what Docker would say, and what the paths would be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::discovery::host::{Facts, Host, PathKind};
use crate::discovery::mount_table::MountTable;
use crate::discovery::{OrphanVolume, Rules, group, scene};
use crate::drivers::docker::Inventory;
use crate::model::Unit;

#[derive(Default)]
pub struct TestHost {
    containers: Vec<Value>,
    volumes: BTreeMap<String, Value>,
    facts: BTreeMap<PathBuf, Facts>,
    mounts: String,
    pub rules: Rules,
}

/// A container under construction; its id is its name.
pub struct TestContainer(Value);

pub fn container(name: &str) -> TestContainer {
    TestContainer(json!({
        "Id": name,
        "Name": format!("/{name}"),
        "Created": "2025-01-01T00:00:00Z",
        "State": {"Status": "running"},
        "Config": {"Image": "nginx", "Labels": {}},
        "HostConfig": {},
        "Mounts": [],
        "NetworkSettings": {"Networks": {}},
    }))
}

impl TestContainer {
    pub fn set(mut self, path: &str, value: Value) -> Self {
        let mut at = &mut self.0;
        for key in path.split('/') {
            at = &mut at[key];
        }
        *at = value;
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.0["Config"]["Labels"][key] = json!(value);
        self
    }

    pub fn of(self, project: &str, service: &str) -> Self {
        self.label("com.docker.compose.project", project)
            .label("com.docker.compose.service", service)
            .label(
                "com.docker.compose.project.working_dir",
                &format!("/opt/{project}"),
            )
            .label(
                "com.docker.compose.project.config_files",
                &format!("/opt/{project}/compose.yaml"),
            )
    }

    pub fn mount(mut self, mount: Value) -> Self {
        self.0["Mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    pub fn bind(self, source: &str, destination: &str) -> Self {
        self.mount(
            json!({"Type": "bind", "Source": source, "Destination": destination, "RW": true}),
        )
    }

    pub fn volume(self, name: &str, destination: &str) -> Self {
        self.mount(json!({
            "Type": "volume", "Name": name, "Driver": "local", "Destination": destination, "RW": true,
            "Source": format!("/var/lib/docker/volumes/{name}/_data"),
        }))
    }

    /// The last mount is read-only.
    pub fn read_only(mut self) -> Self {
        self.0["Mounts"].as_array_mut().unwrap().last_mut().unwrap()["RW"] = json!(false);
        self
    }
}

impl TestHost {
    pub fn new() -> Self {
        let mut host = Self {
            mounts: "1 0 8:1 / / rw - ext4 /dev/sda rw\n".into(),
            ..Self::default()
        };
        for folder in ["/", "/var/lib/docker"] {
            host.path(folder, PathKind::Directory);
        }
        host
    }

    /// Adds the container; its binds are directories that exist unless they are said to be something else.
    pub fn with(mut self, container: TestContainer) -> Self {
        for mount in container.0["Mounts"].as_array().unwrap() {
            let source = mount["Source"].as_str().unwrap_or_default();
            if let (Some("volume"), Some(name)) = (mount["Type"].as_str(), mount["Name"].as_str()) {
                self.add_volume(name, "local", json!({}));
            } else if !source.is_empty() {
                self.path(source, PathKind::Directory);
            }
        }
        if let Some(folder) =
            container.0["Config"]["Labels"]["com.docker.compose.project.working_dir"].as_str()
        {
            self.path(folder, PathKind::Directory);
            self.path(&format!("{folder}/compose.yaml"), PathKind::File);
        }
        self.containers.push(container.0);
        self
    }

    pub fn with_volume(mut self, name: &str, driver: &str, options: Value) -> Self {
        self.volumes.remove(name);
        self.add_volume(name, driver, options);
        self
    }

    fn add_volume(&mut self, name: &str, driver: &str, options: Value) {
        let mountpoint = format!("/var/lib/docker/volumes/{name}/_data");
        self.path(&mountpoint, PathKind::Directory);
        self.volumes.entry(name.to_owned()).or_insert(json!({
            "Name": name, "Driver": driver, "Mountpoint": mountpoint, "Labels": null, "Options": options, "Scope": "local",
        }));
    }

    fn path(&mut self, path: &str, kind: PathKind) {
        self.facts.entry(path.into()).or_insert(Facts {
            real: path.into(),
            kind,
            device: 1,
            inode: 1,
        });
    }

    pub fn with_path(mut self, path: &str, kind: PathKind) -> Self {
        self.facts.remove(Path::new(path));
        self.path(path, kind);
        self
    }

    /// `path` is a link to the directory `real`.
    pub fn with_link(mut self, path: &str, real: &str) -> Self {
        let facts = Facts {
            real: real.into(),
            kind: PathKind::Directory,
            device: 1,
            inode: 1,
        };
        self.facts.insert(path.into(), facts);
        self
    }

    /// A file system with the device number `device` is mounted at `point`.
    pub fn with_mount(mut self, point: &str, fs_type: &str, device: u64) -> Self {
        self.mounts
            .push_str(&format!("9 1 0:{device} / {point} rw - {fs_type} x rw\n"));
        let paths: Vec<PathBuf> = self
            .facts
            .keys()
            .filter(|path| path.starts_with(point))
            .cloned()
            .collect();
        self.path(point, PathKind::Directory);
        for path in paths.into_iter().chain([point.into()]) {
            self.facts.get_mut(&path).unwrap().device = device;
        }
        self
    }

    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self
    }

    fn decide<T>(&self, decision: impl Fn(&scene::Scene) -> T) -> T {
        let inventory = Inventory {
            containers: serde_json::from_value(json!(self.containers)).unwrap(),
            volumes: serde_json::from_value(json!(self.volumes.values().collect::<Vec<_>>()))
                .unwrap(),
            docker_root: "/var/lib/docker".into(),
            ..Inventory::default()
        };
        let host = Host {
            facts: self.facts.clone(),
            mounts: MountTable::parse(self.mounts.as_bytes()).into(),
            ..Host::default()
        };
        decision(&scene::Scene::new(&inventory, &host, &self.rules))
    }

    pub fn units(&self) -> Vec<Unit> {
        self.decide(group::group)
    }

    pub fn orphans(&self) -> Vec<OrphanVolume> {
        self.decide(group::orphans)
    }

    pub fn unit(&self, name: &str) -> Unit {
        let units = self.units();
        let names: Vec<String> = units.iter().map(|unit| unit.name.to_string()).collect();
        units
            .into_iter()
            .find(|unit| unit.name.as_str() == name)
            .unwrap_or_else(|| panic!("no unit {name} in {names:?}"))
    }

    /// The only unit.
    pub fn only(&self) -> Unit {
        let mut units = self.units();
        assert_eq!(units.len(), 1);
        units.remove(0)
    }
}

/// Sources by their keys.
pub fn keys(unit: &Unit) -> Vec<String> {
    unit.sources
        .iter()
        .map(|source| source.key.to_string())
        .collect()
}

/// Gaps as `what: reason`, with `!` for a loss.
pub fn gaps(unit: &Unit) -> Vec<String> {
    unit.gaps
        .iter()
        .map(|gap| {
            format!(
                "{}: {:?}{}",
                gap.what,
                gap.reason,
                if gap.is_loss { "!" } else { "" }
            )
        })
        .collect()
}
