//! The words of `docker compose … up -d`: the files, and exactly what ran.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::point::REDACTED;
use crate::model::point::{FileGroup, PointRecord, ProjectRecord};
use crate::model::unit::ComposeProject;
use crate::model::{Container, Unit};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeUp {
    pub project: String,
    pub directory: Option<PathBuf>,
    /// In override order, never empty: without any, compose takes what it finds where it is called.
    pub files: Vec<PathBuf>,
    pub env_files: Vec<PathBuf>,
    /// Those that ran, by name. Empty where that is not known: all of them.
    #[serde(default)]
    pub services: Vec<String>,
    /// Those that these services are in.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// How many containers of a service ran, where it was not one.
    #[serde(default)]
    pub scale: BTreeMap<String, usize>,
    /// What no file gives: compose had it from a shell or a unit.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    #[serde(skip)]
    pub secrets: Secrets,
    /// A file wants images pulled again: not those that the data belongs to.
    #[serde(skip)]
    pub keeps_images: bool,
    /// Images are built again: what has their names is of a later version.
    #[serde(default)]
    pub build: bool,
    /// Other sets of files of the same project, for other services of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<ComposeUp>,
}

/// Variables whose values are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ComposeUp {
    /// Where everything was; `None` for a unit that is no compose project, whose files are not in the point, or of which nothing ran.
    pub fn of(record: &PointRecord) -> Option<Self> {
        let project = record.project.as_ref()?;
        let ran: BTreeMap<String, usize> = project
            .services
            .iter()
            .filter(|service| service.running > 0)
            .map(|service| (service.name.clone(), service.running))
            .collect();
        if !project.services.is_empty() && ran.is_empty() {
            return None;
        }
        let profiles: BTreeMap<String, Vec<String>> = project
            .services
            .iter()
            .map(|service| (service.name.clone(), service.profiles.clone()))
            .collect();
        let plain = project
            .inferred
            .iter()
            .filter(|(_, value)| *value != REDACTED);
        let variables = plain
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Self::of_groups(&record.unit, groups(project), &ran, &profiles, &variables)
    }

    /// What runs of `unit` on this host.
    pub fn here(unit: &Unit) -> Option<Self> {
        let compose: &ComposeProject = unit.compose.as_ref()?;
        let mut ran: BTreeMap<String, usize> = BTreeMap::new();
        let up = unit.containers.iter().filter(|one| one.state.is_up());
        for service in up.filter_map(|container: &Container| container.service.as_ref()) {
            *ran.entry(service.clone()).or_default() += 1;
        }
        if ran.is_empty() {
            return None;
        }
        let groups = compose.groups.iter().map(|group| FileGroup {
            working_dir: group.working_dir.clone(),
            compose_files: group.files.clone(),
            env_files: group.env_files.clone(),
            services: group.services.clone(),
        });
        let nothing = BTreeMap::new();
        Self::of_groups(
            &unit.name,
            groups.collect(),
            &ran,
            &BTreeMap::new(),
            &nothing,
        )
    }

    fn of_groups(
        unit: &crate::model::UnitName,
        groups: Vec<FileGroup>,
        ran: &BTreeMap<String, usize>,
        profiles: &BTreeMap<String, Vec<String>>,
        variables: &BTreeMap<String, String>,
    ) -> Option<Self> {
        let with_files: Vec<FileGroup> = groups
            .iter()
            .filter(|group| !group.compose_files.is_empty())
            .cloned()
            .collect();
        let claimed: BTreeSet<&String> = with_files
            .iter()
            .skip(1)
            .flat_map(|group| &group.services)
            .collect();
        let mut ups = Vec::new();
        for (index, group) in with_files.iter().enumerate() {
            // The newest files may have what others, which are lost, had.
            let is_of_it = |service: &&String| {
                if index == 0 {
                    !claimed.contains(service) || group.services.contains(service)
                } else {
                    group.services.contains(service)
                }
            };
            let services: Vec<String> = ran.keys().filter(is_of_it).cloned().collect();
            if services.is_empty() && !ran.is_empty() {
                continue;
            }
            let used: BTreeSet<String> = services
                .iter()
                .filter_map(|service| profiles.get(service))
                .flatten()
                .cloned()
                .collect();
            let scale = ran
                .iter()
                .filter(|(service, count)| **count != 1 && services.contains(service));
            ups.push(Self {
                project: unit.to_string(),
                directory: group.working_dir.clone(),
                files: group.compose_files.clone(),
                env_files: group.env_files.clone(),
                scale: scale.map(|(name, count)| (name.clone(), *count)).collect(),
                services,
                profiles: used.into_iter().collect(),
                variables: variables.clone(),
                ..Self::default()
            });
        }
        let mut ups = ups.into_iter();
        let first = ups.next()?;
        Some(Self {
            also: ups.collect(),
            ..first
        })
    }

    pub fn with_build(mut self, build: bool) -> Self {
        for up in &mut self.also {
            up.build = build;
        }
        self.build = build;
        self
    }

    /// With values that are not shown.
    pub fn with_secrets(mut self, secrets: Option<&BTreeMap<String, String>>) -> Self {
        for up in &mut self.also {
            up.secrets = Secrets(secrets.cloned().unwrap_or_default());
        }
        self.secrets = Secrets(secrets.cloned().unwrap_or_default());
        self
    }

    /// Each set of files by itself.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.also)
    }

    /// What every command for the project begins with, after `docker`.
    pub fn project_args(&self) -> Vec<String> {
        let mut words = vec![
            "compose".to_owned(),
            "--project-name".to_owned(),
            self.project.clone(),
        ];
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if let Some(directory) = &self.directory {
            option("--project-directory", directory.display().to_string());
        }
        for file in &self.files {
            option("-f", file.display().to_string());
        }
        for file in &self.env_files {
            option("--env-file", file.display().to_string());
        }
        for profile in &self.profiles {
            option("--profile", profile.clone());
        }
        words
    }

    /// What follows `docker`, for this set of files.
    pub fn args(&self) -> Vec<String> {
        let mut words = self.project_args();
        words.extend(["up", "-d"].map(str::to_owned));
        if self.keeps_images {
            words.extend(["--pull", "missing"].map(str::to_owned));
        }
        if self.build {
            words.push("--build".to_owned());
        }
        if !self.services.is_empty() {
            // A job that they depend on and that has ended is not run once more.
            words.push("--no-deps".to_owned());
        }
        for (service, count) in &self.scale {
            words.extend(["--scale".to_owned(), format!("{service}={count}")]);
        }
        words.extend(self.services.iter().cloned());
        words
    }

    /// To be copied into a shell, one for each set of files.
    pub fn commands(&self) -> Vec<String> {
        self.each().map(Self::command).collect()
    }

    /// Of this set of files.
    pub fn command(&self) -> String {
        let shown = self.variables.iter().filter(|(_, value)| !value.is_empty());
        let mut words: Vec<String> = shown
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !words.is_empty() {
            words.insert(0, "env".to_owned());
        }
        words.push("docker".to_owned());
        words.extend(self.args());
        shell_words::join(words)
    }

    /// Names of the variables that [`Self::command`] leaves out: their values are secret.
    pub fn hidden(&self) -> Vec<&str> {
        self.secrets.0.keys().map(String::as_str).collect()
    }

    /// What compose gets beside the environment that it always has.
    pub fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.variables.iter().chain(&self.secrets.0);
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What each set of containers was made from. What was added to the files afterwards is added to all.
fn groups(project: &ProjectRecord) -> Vec<FileGroup> {
    let first = FileGroup {
        working_dir: project.working_dir.clone(),
        compose_files: project.compose_files.clone(),
        env_files: project.env_files.clone(),
        services: Vec::new(),
    };
    let Some((newest, older)) = project.groups.split_first() else {
        return vec![first];
    };
    let added = project
        .compose_files
        .iter()
        .filter(|file| !newest.compose_files.contains(file));
    let added: Vec<PathBuf> = added.cloned().collect();
    let older = older.iter().map(|group| {
        let mut group = group.clone();
        if !group.compose_files.is_empty() {
            group.compose_files.extend(added.iter().cloned());
        }
        group
    });
    let first = FileGroup {
        services: newest.services.clone(),
        ..first
    };
    std::iter::once(first).chain(older).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::points::recipe::tests::record;

    fn up(project: Value) -> Option<ComposeUp> {
        let mut record = record();
        record["project"] = project;
        ComposeUp::of(&serde_json::from_value(record).unwrap())
    }

    fn service(name: &str, running: usize, profiles: &[&str]) -> Value {
        json!({"name": name, "running": running, "profiles": profiles, "containers": []})
    }

    #[test]
    fn exactly_what_ran_is_named() {
        let up = up(json!({
            "working_dir": "/opt/x", "compose_files": ["/opt/x/compose.yaml"], "env_files": ["/opt/x/.env"],
            "services": [service("db", 1, &[]), service("ml", 1, &["gpu"]), service("seed", 0, &["once"]), service("worker", 2, &[])],
            "inferred": {"PWD": "/opt/x", "TOKEN": "***REDACTED***", "EMPTY": ""},
        }));
        assert_eq!(
            up.unwrap().command(),
            "env 'PWD=/opt/x' docker compose --project-name web --project-directory /opt/x -f /opt/x/compose.yaml \
             --env-file /opt/x/.env --profile gpu up -d --no-deps --scale 'worker=2' db ml worker"
        );
    }

    #[test]
    fn without_files_nothing_is_run() {
        let project = |services: Value| json!({"working_dir": "/opt/x", "compose_files": [], "env_files": [], "services": services});
        assert_eq!(up(project(json!([service("db", 1, &[])]))), None);
        assert_eq!(up(project(json!([]))), None);
        let nothing_ran = json!({"working_dir": null, "compose_files": ["/c"], "env_files": [], "services": [service("db", 0, &[])]});
        assert_eq!(up(nothing_ran), None);
    }

    #[test]
    fn each_set_of_files_gets_its_own_services() {
        let group = |file: &[&str], services: &[&str]| json!({"working_dir": "/d", "compose_files": file, "env_files": [], "services": services});
        let up = up(json!({
            "working_dir": "/d", "compose_files": ["/new", "/overlay"], "env_files": [],
            "services": [service("git", 1, &[]), service("lost", 1, &[]), service("wiki", 1, &[])],
            "groups": [group(&["/new"], &["wiki"]), group(&["/old"], &["git"]), group(&[], &["lost"])],
        }))
        .unwrap();
        let commands = up.commands();
        assert_eq!(commands.len(), 2);
        assert!(
            commands[0].ends_with("-f /new -f /overlay up -d --no-deps lost wiki"),
            "{commands:?}"
        );
        assert!(
            commands[1].ends_with("-f /old -f /overlay up -d --no-deps git"),
            "{commands:?}"
        );
    }
}
