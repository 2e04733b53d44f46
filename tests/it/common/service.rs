//! One container to be, and one volume: how `docker` and how a compose file want to hear of it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::bed::IMAGE;
use super::writer;

/// A container. Without a command it waits, and ends at once on SIGTERM.
#[derive(Clone, Default)]
pub struct Service {
    pub(super) name: String,
    image: Option<String>,
    command: Vec<String>,
    mounts: Vec<Mount>,
    pub(super) depends_on: Vec<(String, String)>,
    labels: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    pub(super) health: Option<String>,
    stop_timeout: Option<u32>,
    restart: Option<String>,
    args: Vec<String>,
}

#[derive(Clone)]
enum Mount {
    /// Of the project; its full name has the project's before it.
    Own {
        name: String,
        at: String,
    },
    External {
        name: String,
        at: String,
    },
    Bind {
        path: PathBuf,
        at: String,
    },
    Anonymous {
        at: String,
    },
}

impl Service {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// A volume of the stack, made if it is mentioned here first. `at` may end with `:ro`.
    pub fn volume(mut self, name: &str, at: &str) -> Self {
        self.mounts.push(Mount::Own {
            name: name.into(),
            at: at.into(),
        });
        self
    }

    /// A volume by its full name, such as one of another stack.
    pub fn external(mut self, name: &str, at: &str) -> Self {
        self.mounts.push(Mount::External {
            name: name.into(),
            at: at.into(),
        });
        self
    }

    pub fn anonymous(mut self, at: &str) -> Self {
        self.mounts.push(Mount::Anonymous { at: at.into() });
        self
    }

    pub fn bind(mut self, path: impl AsRef<Path>, at: &str) -> Self {
        self.mounts.push(Mount::Bind {
            path: path.as_ref().to_owned(),
            at: at.into(),
        });
        self
    }

    /// `condition` as in a compose file: `service_started`, `service_healthy`, `service_completed_successfully`.
    pub fn depends_on(mut self, service: &str, condition: &str) -> Self {
        self.depends_on.push((service.into(), condition.into()));
        self
    }

    pub fn command<S: Into<String>>(mut self, command: impl IntoIterator<Item = S>) -> Self {
        self.command = command.into_iter().map(Into::into).collect();
        self
    }

    pub fn sh(self, script: &str) -> Self {
        self.command(["sh", "-c", script])
    }

    /// Writes into the directory `at` without pause until it is stopped; see [`writer`].
    pub fn writer(self, at: &str) -> Self {
        self.command(["sh", "-c", writer::SCRIPT, "writer", at])
    }

    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A shell command that says whether it is healthy, asked every 200 ms.
    pub fn health(mut self, test: &str) -> Self {
        self.health = Some(test.into());
        self
    }

    pub fn stop_timeout(mut self, seconds: u32) -> Self {
        self.stop_timeout = Some(seconds);
        self
    }

    /// `always`, `unless-stopped`, `on-failure`.
    pub fn restart(mut self, policy: &str) -> Self {
        self.restart = Some(policy.into());
        self
    }

    /// Another image than the one that all have.
    pub fn image(mut self, image: &str) -> Self {
        self.image = Some(image.into());
        self
    }

    fn image_name(&self) -> &str {
        self.image.as_deref().unwrap_or(IMAGE)
    }

    /// Any other option of `docker run`; the compose file does not get it.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn own_volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match mount {
            Mount::Own { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    pub(super) fn external_volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter_map(|mount| match mount {
            Mount::External { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// What follows `docker run --detach`. `prefix` goes before the names of own volumes.
    pub(super) fn docker_args(&self, prefix: &str, network: Option<&str>) -> Vec<String> {
        let mut args = Vec::new();
        let mut option = |name: &str, value: String| args.extend([name.to_owned(), value]);
        for mount in &self.mounts {
            option("--volume", mount.spec(prefix));
        }
        for (name, value) in &self.labels {
            option("--label", format!("{name}={value}"));
        }
        for (name, value) in &self.environment {
            option("--env", format!("{name}={value}"));
        }
        if let Some(test) = &self.health {
            option("--health-cmd", test.clone());
            option("--health-interval", "200ms".into());
            option("--health-retries", "3".into());
        }
        if let Some(seconds) = self.stop_timeout {
            option("--stop-timeout", seconds.to_string());
        }
        if let Some(policy) = &self.restart {
            option("--restart", policy.clone());
        }
        // A bridge for each stack would use up the engine's address pools, and costs a third of a second.
        if !self.args.iter().any(|arg| arg.starts_with("--net")) {
            option("--network", network.unwrap_or("none").into());
        }
        args.extend(self.args.iter().cloned());
        args.push(self.image_name().into());
        args.extend(self.command.iter().cloned());
        args
    }

    pub(super) fn compose(&self, world_label: (&str, &str), network: bool) -> Value {
        let mut labels: Map<String, Value> = self
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), dollars(value).into()))
            .collect();
        labels.insert(world_label.0.into(), world_label.1.into());
        let mut service = json!({ "image": self.image_name(), "labels": labels });
        if !network {
            service["network_mode"] = "none".into();
        }
        if !self.mounts.is_empty() {
            service["volumes"] = self.mounts.iter().map(|mount| mount.spec("")).collect();
        }
        if !self.command.is_empty() {
            service["command"] = self.command.iter().map(|word| dollars(word)).collect();
        }
        if !self.environment.is_empty() {
            service["environment"] = self
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), dollars(value)))
                .collect();
        }
        if !self.depends_on.is_empty() {
            let depends = self
                .depends_on
                .iter()
                .map(|(name, condition)| (name.clone(), json!({ "condition": condition })));
            service["depends_on"] = Value::Object(depends.collect());
        }
        if let Some(test) = &self.health {
            service["healthcheck"] =
                json!({ "test": ["CMD-SHELL", dollars(test)], "interval": "200ms", "retries": 3 });
        }
        if let Some(seconds) = self.stop_timeout {
            service["stop_grace_period"] = format!("{seconds}s").into();
        }
        if let Some(policy) = &self.restart {
            service["restart"] = policy.as_str().into();
        }
        service
    }
}

impl Mount {
    fn spec(&self, prefix: &str) -> String {
        match self {
            Self::Own { name, at } => format!("{prefix}{name}:{at}"),
            Self::External { name, at } => format!("{name}:{at}"),
            Self::Bind { path, at } => format!("{}:{at}", path.display()),
            Self::Anonymous { at } => at.clone(),
        }
    }
}

/// Compose would take a dollar for a variable.
fn dollars(text: &str) -> String {
    text.replace('$', "$$")
}

/// A volume; plain and `local` unless told.
#[derive(Clone, Default)]
pub struct Volume {
    driver: Option<String>,
    options: Vec<(String, String)>,
    labels: Vec<(String, String)>,
}

impl Volume {
    pub fn driver(mut self, name: &str) -> Self {
        self.driver = Some(name.into());
        self
    }

    /// Such as `type`, `device`, `o`.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// What follows `docker volume create`, but for the name.
    pub(super) fn docker_args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if let Some(driver) = &self.driver {
            args.extend(["--driver".into(), driver.clone()]);
        }
        for (name, value) in &self.options {
            args.extend(["--opt".into(), format!("{name}={value}")]);
        }
        for (name, value) in &self.labels {
            args.extend(["--label".into(), format!("{name}={value}")]);
        }
        args
    }

    pub(super) fn compose(&self, world_label: (&str, &str)) -> Value {
        let mut labels: Map<String, Value> = self
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), dollars(value).into()))
            .collect();
        labels.insert(world_label.0.into(), world_label.1.into());
        let mut volume = json!({ "labels": labels });
        if let Some(driver) = &self.driver {
            volume["driver"] = driver.as_str().into();
        }
        if !self.options.is_empty() {
            volume["driver_opts"] = self
                .options
                .iter()
                .map(|(name, value)| (name.clone(), dollars(value)))
                .collect();
        }
        volume
    }
}
