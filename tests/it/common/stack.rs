//! Containers that look like those of a compose project, and the real thing for tests that want it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::bed::Bed;
use super::poll;
use super::run::Run;
use super::service::{Service, Volume};
use super::world::{LABEL, World};

const UP_TIMEOUT: Duration = Duration::from_secs(60);

#[must_use = "nothing is there before `.up()`"]
pub struct StackBuilder<'world> {
    world: &'world World,
    project: String,
    dir: PathBuf,
    services: Vec<Service>,
    volumes: BTreeMap<String, Volume>,
    network: bool,
}

impl<'world> StackBuilder<'world> {
    pub(super) fn new(world: &'world World, name: &str) -> Self {
        Self {
            world,
            project: world.name(name),
            dir: world.path("stacks").join(name),
            services: Vec::new(),
            volumes: BTreeMap::new(),
            network: false,
        }
    }

    pub fn service(mut self, name: &str, with: impl FnOnce(Service) -> Service) -> Self {
        self.services.push(with(Service::new(name)));
        self
    }

    /// Only needed for a volume with options or labels.
    pub fn volume(mut self, name: &str, with: impl FnOnce(Volume) -> Volume) -> Self {
        self.volumes.insert(name.into(), with(Volume::default()));
        self
    }

    /// Gives it a real `default` network; without it the containers have none.
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Starts it with the labels that Compose 2.26 sets, and waits until all run and are healthy. A compose file that says
    /// the same is in its directory.
    #[track_caller]
    pub fn up(mut self) -> Stack {
        self.write_file();
        let project_label = format!("com.docker.compose.project={}", self.project);
        let world_label = format!("{LABEL}={}", self.world.id());
        for (name, volume) in &self.volumes {
            let label = format!("com.docker.compose.volume={name}");
            let mut run = self.world.docker(&[
                "volume",
                "create",
                "--label",
                &world_label,
                "--label",
                &project_label,
                "--label",
                &label,
            ]);
            run = run
                .args(["--label", "com.docker.compose.version=2.26.1"])
                .args(volume.docker_args());
            run.arg(format!("{}_{name}", self.project)).text();
        }
        let network = self.network.then(|| format!("{}_default", self.project));
        if let Some(network) = &network {
            let label = "com.docker.compose.network=default";
            self.world
                .docker(&[
                    "network",
                    "create",
                    "--label",
                    &world_label,
                    "--label",
                    &project_label,
                    "--label",
                    label,
                    network,
                ])
                .text();
        }
        self.dependencies_first();
        for service in &self.services {
            let container = format!("{}-{}-1", self.project, service.name);
            let mut run = self.world.docker(&[
                "run",
                "--detach",
                "--name",
                &container,
                "--label",
                &world_label,
                "--label",
                &project_label,
            ]);
            for (name, value) in self.labels(service) {
                run = run
                    .arg("--label")
                    .arg(format!("com.docker.compose.{name}={value}"));
            }
            run.args(service.docker_args(&format!("{}_", self.project), network.as_deref()))
                .text();
        }
        self.running()
    }

    /// Starts it with the real `docker compose up`.
    #[track_caller]
    pub fn up_with_compose(mut self) -> Stack {
        self.write_file();
        compose(&self.world.bed, &self.project, &self.dir)
            .args(["up", "--detach"])
            .text();
        self.running()
    }

    fn labels(&self, service: &Service) -> Vec<(&'static str, String)> {
        let depends: Vec<String> = service
            .depends_on
            .iter()
            .map(|(name, condition)| format!("{name}:{condition}:false"))
            .collect();
        vec![
            ("service", service.name.clone()),
            ("container-number", "1".into()),
            ("oneoff", "False".into()),
            ("version", "2.26.1".into()),
            ("config-hash", "0".repeat(64)),
            ("depends_on", depends.join(",")),
            ("project.working_dir", self.dir.display().to_string()),
            (
                "project.config_files",
                self.dir.join("compose.yaml").display().to_string(),
            ),
        ]
    }

    fn dependencies_first(&mut self) {
        let mut rest = std::mem::take(&mut self.services);
        while !rest.is_empty() {
            let ready = rest.iter().position(|service| {
                service
                    .depends_on
                    .iter()
                    .all(|(on, _)| rest.iter().all(|other| other.name != *on))
            });
            // In a circle there is no first one.
            self.services.push(rest.remove(ready.unwrap_or(0)));
        }
    }

    /// JSON is YAML.
    fn write_file(&mut self) {
        for name in self.services.iter().flat_map(Service::own_volumes) {
            self.volumes.entry(name.into()).or_default();
        }
        let label = (LABEL, self.world.id());
        let services: Map<String, Value> = self
            .services
            .iter()
            .map(|service| (service.name.clone(), service.compose(label, self.network)))
            .collect();
        let mut volumes: Map<String, Value> = self
            .volumes
            .iter()
            .map(|(name, volume)| (name.clone(), volume.compose(label)))
            .collect();
        for name in self.services.iter().flat_map(Service::external_volumes) {
            volumes.insert(name.into(), json!({ "external": true, "name": name }));
        }
        let mut file = json!({ "services": services });
        if !volumes.is_empty() {
            file["volumes"] = volumes.into();
        }
        if self.network {
            file["networks"] = json!({ "default": { "labels": { label.0: label.1 } } });
        }
        fs::create_dir_all(&self.dir).unwrap();
        fs::write(self.dir.join("compose.yaml"), format!("{file:#}\n")).unwrap();
    }

    #[track_caller]
    fn running(self) -> Stack {
        let stack = Stack {
            bed: self.world.bed.clone(),
            project: self.project,
            dir: self.dir,
            volumes: self.volumes.into_keys().collect(),
            services: self
                .services
                .iter()
                .map(|service| service.name.clone())
                .collect(),
        };
        stack.until_up();
        stack
    }
}

/// A stack that was started. What is left of it goes with its world.
#[derive(Clone, Debug)]
pub struct Stack {
    bed: Bed,
    project: String,
    dir: PathBuf,
    volumes: Vec<String>,
    services: Vec<String>,
}

impl Stack {
    /// The compose project, which is the name of the unit.
    pub fn unit(&self) -> &str {
        &self.project
    }

    /// The project's directory, with `compose.yaml` in it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.project)
    }

    /// The full name of a volume.
    pub fn volume(&self, name: &str) -> String {
        format!("{}_{name}", self.project)
    }

    /// Where Docker keeps a volume on this host.
    #[track_caller]
    pub fn volume_path(&self, name: &str) -> PathBuf {
        self.bed
            .docker(&[
                "volume",
                "inspect",
                "--format",
                "{{.Mountpoint}}",
                &self.volume(name),
            ])
            .text()
            .into()
    }

    /// `docker inspect` of a service's container.
    #[track_caller]
    pub fn inspect(&self, service: &str) -> Value {
        self.bed
            .docker(&["container", "inspect", &self.container(service)])
            .json()[0]
            .take()
    }

    /// Such as `running`, `exited`, `paused`.
    #[track_caller]
    pub fn status(&self, service: &str) -> String {
        self.inspect(service)["State"]["Status"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[track_caller]
    pub fn started_at(&self, service: &str) -> DateTime<Utc> {
        self.inspect(service)["State"]["StartedAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The services that run.
    #[track_caller]
    pub fn running(&self) -> BTreeSet<String> {
        let filter = format!("label=com.docker.compose.project={}", self.project);
        let format = "{{.Label \"com.docker.compose.service\"}}";
        let names = self
            .bed
            .docker(&[
                "ps",
                "--filter",
                &filter,
                "--filter",
                "status=running",
                "--format",
                format,
            ])
            .text();
        names.lines().map(str::to_owned).collect()
    }

    /// Panics unless exactly `services` run.
    #[track_caller]
    pub fn assert_running(&self, services: &[&str]) {
        let expected: BTreeSet<String> = services.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            self.running(),
            expected,
            "the services of {} that run",
            self.project
        );
    }

    /// Waits until every service that was started with it runs, or has ended well, and is healthy if it can say so.
    #[track_caller]
    pub fn until_up(&self) {
        let containers: Vec<String> = self
            .services
            .iter()
            .map(|service| self.container(service))
            .collect();
        poll::until(
            &format!("the stack {} to be up", self.project),
            UP_TIMEOUT,
            || {
                let mut run = self.bed.docker(&["container", "inspect", "--format"]);
                run = run.arg("{{.State.Status}} {{.State.ExitCode}} {{with .State.Health}}{{.Status}}{{end}}").args(&containers);
                run.text()
                    .lines()
                    .all(|line| {
                        matches!(
                            line.trim(),
                            "running 0" | "running 0 healthy" | "exited 0" | "exited 0 healthy"
                        )
                    })
                    .then_some(())
            },
        );
    }

    pub fn exec(&self, service: &str, command: &[&str]) -> Run {
        self.bed
            .docker(&["exec", &self.container(service)])
            .args(command)
    }

    #[track_caller]
    pub fn stop(&self, service: &str) {
        self.bed.docker(&["stop", &self.container(service)]).text();
    }

    #[track_caller]
    pub fn start(&self, service: &str) {
        self.bed.docker(&["start", &self.container(service)]).text();
    }

    /// `docker compose` for this project and its file.
    pub fn compose(&self, args: &[&str]) -> Run {
        compose(&self.bed, &self.project, &self.dir).args(args)
    }

    /// Removes its containers, volumes and network, as if this were a new host. The compose file stays.
    #[track_caller]
    pub fn wipe(&self) {
        self.remove(
            "container",
            &["ls", "--all"],
            &["rm", "--force", "--volumes"],
        );
        self.remove("network", &["ls"], &["rm"]);
        self.remove("volume", &["ls"], &["rm"]);
    }

    #[track_caller]
    fn remove(&self, what: &str, list: &[&str], remove: &[&str]) {
        let filter = format!("label=com.docker.compose.project={}", self.project);
        let ids = self
            .bed
            .docker(&[what])
            .args(list)
            .args(["--quiet", "--filter", &filter])
            .text();
        if !ids.is_empty() {
            self.bed
                .docker(&[what])
                .args(remove)
                .args(ids.lines())
                .text();
        }
    }
}

fn compose(bed: &Bed, project: &str, dir: &Path) -> Run {
    bed.docker(&["compose", "--project-name", project, "--file"])
        .arg(dir.join("compose.yaml"))
        .directory(dir)
}
