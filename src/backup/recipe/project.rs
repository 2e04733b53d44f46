//! The files of a project: those that the labels of its containers name, and all that these name in turn.
//!
//! Never here: our own environment. Compose had another one, and a path made with ours leads to a file of another user.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::sync::oneshot;

use super::Captured;
use super::context;
use super::copier::Copier;
use super::environment::{self, Environment};
use super::infer::{Inferred, infer};
use super::interpolate::unset;
use super::redact::is_telling;
use super::references::{Part, Reference, References, Unresolved, references};
use super::services;
use super::templates::{self, Shown, Templates};
use crate::base::yaml;
use crate::drivers::docker::json::Json as _;
use crate::error::Result;
use crate::model::Unit;
use crate::model::point::REDACTED;
use crate::model::point::{FileGroup, FileRole, ProjectRecord};
use crate::model::unit::{ComposeGroup, ContainerState};

/// An `include` that includes itself ends anyway, since no file is read twice; this bounds the unforeseen.
const MOST_PARTS: usize = 1000;

/// What a project is captured from.
pub struct Request {
    pub unit: Unit,
    /// What Docker says of each container, by its id.
    pub inspected: BTreeMap<String, Value>,
    /// Bytes of a build context.
    pub context_limit: u64,
    pub folder: PathBuf,
}

/// Runs on a thread of its own: the files may be on a disk that does not answer.
pub async fn capture(request: Request) -> Result<Captured> {
    let (sender, captured) = oneshot::channel();
    std::thread::Builder::new()
        .name("recipe".to_owned())
        .spawn(move || {
            let _ = sender.send(Project::capture(&request));
        })?;
    captured.await?
}

struct Project<'a> {
    request: &'a Request,
    copier: Copier,
    record: ProjectRecord,
    profiles: BTreeMap<String, Vec<String>>,
    /// What was read of environment files: two groups may have one.
    texts: BTreeMap<PathBuf, String>,
    unknown: BTreeSet<String>,
    /// Services that the newest files have.
    defined: BTreeSet<String>,
}

/// A compose file that is read.
struct Document {
    path: PathBuf,
    base: PathBuf,
    value: Value,
}

impl<'a> Project<'a> {
    fn capture(request: &'a Request) -> Result<Captured> {
        let mut project = Self {
            request,
            copier: Copier::new(&request.folder)?,
            record: ProjectRecord::default(),
            profiles: BTreeMap::new(),
            texts: BTreeMap::new(),
            unknown: BTreeSet::new(),
            defined: BTreeSet::new(),
        };
        if let Some(compose) = &request.unit.compose {
            for (index, group) in compose.groups.iter().enumerate() {
                project.group(group, index == 0)?;
            }
        }
        Ok(project.finish())
    }

    fn finish(mut self) -> Captured {
        for name in std::mem::take(&mut self.unknown) {
            self.copier.gap(
                format!("variable `{name}` of the compose files"),
                "compose had it from a shell or a unit: no file gives it and no container shows its value; write it into `.env`".to_owned(),
                true,
            );
        }
        let unit = &self.request.unit;
        let mut record = self.record;
        record.services = services::services(unit, &self.request.inspected, &self.profiles);
        let used: BTreeSet<&String> = record
            .services
            .iter()
            .flat_map(|service| &service.profiles)
            .collect();
        record.profiles = used.into_iter().cloned().collect();
        let mut captured = self.copier.captured;
        captured.warnings.extend(of_a_shell(&record));
        captured
            .warnings
            .extend(services::anonymous_volumes(&record.services));
        record.directories = std::mem::take(&mut captured.directories);
        record.directories.sort_by(|a, b| a.path.cmp(&b.path));
        captured.project = Some(record);
        captured
    }

    fn group(&mut self, group: &ComposeGroup, is_newest: bool) -> Result<()> {
        let first = group.files.first().and_then(|file| file.parent());
        let base = group.working_dir.as_deref().or(first).map(Path::to_owned);
        let mut env_files = group.env_files.clone();
        if let Some(base) = base.as_deref()
            && env_files.is_empty()
            && base.join(".env").is_file()
        {
            env_files.push(base.join(".env"));
        }
        let mut known = Environment::from([(
            "COMPOSE_PROJECT_NAME".to_owned(),
            self.request.unit.name.to_string(),
        )]);
        if let Some(name) = self.project_name() {
            known.insert("COMPOSE_PROJECT_NAME".to_owned(), name);
        }
        self.read_environment(&env_files, &mut known)?;
        if let Some(base) = &base {
            let documents = self.documents(group, base)?;
            self.note_services(&documents, group, is_newest);
            self.infer(&documents, group, base, is_newest, &mut known);
            let moved = group.named_dir.as_ref().zip(group.working_dir.as_ref());
            let moved = moved.filter(|(named, here)| named != here);
            self.follow_all(documents, &known, moved)?;
        }
        if is_newest {
            self.record.working_dir = group.working_dir.clone();
            self.record.compose_files = group.files.clone();
            self.record.env_files = env_files.clone();
        } else if !group.missing.is_empty() {
            let lost: Vec<&String> = group
                .services
                .iter()
                .filter(|service| !self.defined.contains(*service))
                .collect();
            for service in lost {
                self.copier.gap(
                    format!("compose file of service `{service}`"),
                    format!(
                        "`{}` is not there, and the newest compose files do not have the service",
                        group.missing.join("`, `")
                    ),
                    true,
                );
            }
        }
        self.record.groups.push(FileGroup {
            working_dir: group.working_dir.clone(),
            compose_files: group.files.clone(),
            env_files,
            services: group.services.clone(),
        });
        Ok(())
    }

    fn project_name(&self) -> Option<String> {
        let mut containers = self.request.unit.containers.iter();
        containers.find_map(|container| container.project.clone())
    }

    /// Copies and reads the files that the labels name.
    fn documents(&mut self, group: &ComposeGroup, base: &Path) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        for path in &group.files {
            if let Some(value) = self.document(path, FileRole::Compose)? {
                documents.push(Document {
                    path: path.clone(),
                    base: base.to_owned(),
                    value,
                });
            }
        }
        Ok(documents)
    }

    fn document(&mut self, path: &Path, role: FileRole) -> Result<Option<Value>> {
        let Some(text) = self.copier.file(path, role, "compose file")? else {
            return Ok(None);
        };
        match yaml::parse(&String::from_utf8_lossy(&text)) {
            Ok(document) => Ok(Some(document)),
            Err(error) => {
                let detail = format!(
                    "it is saved, but what it names is not: it cannot be read as YAML: {error}"
                );
                self.copier
                    .gap(format!("compose file `{}`", path.display()), detail, true);
                Ok(None)
            }
        }
    }

    fn note_services(&mut self, documents: &[Document], group: &ComposeGroup, is_newest: bool) {
        let all = documents
            .iter()
            .filter_map(|document| document.value.at("services").as_object())
            .flatten();
        for (name, service) in all {
            if is_newest {
                self.defined.insert(name.clone());
            }
            let profiles: Vec<String> = service
                .at("profiles")
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|profile| profile.as_str().map(str::to_owned))
                .collect();
            if !profiles.is_empty() && (is_newest || group.services.contains(name)) {
                self.profiles.entry(name.clone()).or_insert(profiles);
            }
        }
    }

    /// Adds to `known` what the containers tell of variables that no file gives.
    fn infer(
        &mut self,
        documents: &[Document],
        group: &ComposeGroup,
        base: &Path,
        is_newest: bool,
        known: &mut Environment,
    ) {
        let guesses = guesses(group, base);
        let (mut templates, mut named) = (Templates::new(), BTreeSet::new());
        {
            let shown = self.shown(group, is_newest);
            for document in documents {
                templates::collect(
                    &document.value,
                    &document.base,
                    known,
                    &shown,
                    &mut templates,
                );
                templates::walk(&document.value, "", &mut |_, text| {
                    named.extend(unset(&text, known));
                });
            }
        }
        let Inferred {
            values,
            secret,
            unknown,
        } = infer(&templates, known, &guesses);
        let mut found = guesses;
        // What is no part of the compose files is not written down: it is not a variable.
        found.extend(values.clone());
        for (name, value) in &found {
            if !named.contains(name) || (value.is_empty() && !values.contains_key(name)) {
                continue;
            }
            let is_secret = secret.contains(name) || is_telling(name);
            let shown = if is_secret && !value.is_empty() {
                self.copier
                    .captured
                    .secrets
                    .insert(name.clone(), value.clone());
                REDACTED.to_owned()
            } else {
                value.clone()
            };
            self.record.inferred.entry(name.clone()).or_insert(shown);
        }
        known.extend(found);
        for name in unknown {
            if !self.record.unknown_variables.contains(&name) {
                self.record.unknown_variables.push(name.clone());
            }
            self.unknown.insert(name);
        }
    }

    /// One container of each service, rather one that is up.
    fn shown(&self, group: &ComposeGroup, is_newest: bool) -> Shown<'a> {
        let mut shown = Shown::new();
        let request = self.request;
        let (up, down): (Vec<_>, Vec<_>) = request
            .unit
            .containers
            .iter()
            .partition(|container| container.state == ContainerState::Running);
        for container in up.into_iter().chain(down) {
            if let Some(service) = &container.service
                && (is_newest || group.services.contains(service))
                && let Some(inspected) = request.inspected.get(&container.id)
            {
                shown.entry(service.clone()).or_insert(inspected);
            }
        }
        shown
    }

    /// Copies what `documents` name, and what that names.
    fn follow_all(
        &mut self,
        documents: Vec<Document>,
        known: &Environment,
        moved: Option<(&PathBuf, &PathBuf)>,
    ) -> Result<()> {
        let mut open: VecDeque<(Part, Environment)> = VecDeque::new();
        for document in documents {
            let found = references(&document.value, &document.base, known);
            self.follow(found, &document.path, known, moved, &mut open)?;
        }
        for _ in 0..MOST_PARTS {
            let Some((part, mut known)) = open.pop_front() else {
                break;
            };
            let path = here(part.path, moved);
            if self.copier.has_tried(&path) {
                continue;
            }
            let Some(value) = self.document(&path, FileRole::Referenced)? else {
                continue;
            };
            if part.is_include {
                let files = part
                    .environment
                    .unwrap_or_else(|| vec![part.base.join(".env")]);
                let files: Vec<PathBuf> = files.into_iter().filter(|file| file.is_file()).collect();
                let mut inner = Environment::new();
                self.read_environment(&files, &mut inner)?;
                // The outer project's win.
                inner.extend(known);
                known = inner;
            }
            let found = references(&value, &part.base, &known);
            self.follow(found, &path, &known, moved, &mut open)?;
        }
        Ok(())
    }

    fn follow(
        &mut self,
        found: References,
        file: &Path,
        known: &Environment,
        moved: Option<(&PathBuf, &PathBuf)>,
        open: &mut VecDeque<(Part, Environment)>,
    ) -> Result<()> {
        for reference in found.files {
            self.reference(reference, moved)?;
        }
        for (service, context) in found.build_contexts {
            self.build_context(&service, &here(context, moved))?;
        }
        for unresolved in found.unresolved {
            self.unresolved(unresolved, file);
        }
        for (what, variable) in found.from_variables {
            if known.get(&variable).is_none_or(String::is_empty) {
                self.copier.gap(
                    format!("{what} of `{}`", file.display()),
                    format!("compose takes it from the variable `{variable}`, which no file gives"),
                    true,
                );
            }
        }
        let parts = found.parts.into_iter().map(|part| (part, known.clone()));
        open.extend(parts);
        Ok(())
    }

    fn reference(
        &mut self,
        reference: Reference,
        moved: Option<(&PathBuf, &PathBuf)>,
    ) -> Result<()> {
        let path = here(reference.path, moved);
        // Compose goes on without it, so nothing is lost.
        if reference.is_required || path.exists() {
            self.copier
                .file(&path, FileRole::Referenced, &reference.what)?;
        }
        Ok(())
    }

    fn build_context(&mut self, service: &str, context: &Path) -> Result<()> {
        let saved: Vec<PathBuf> = self
            .request
            .unit
            .sources
            .iter()
            .flat_map(|source| std::iter::once(source).chain(&source.covers))
            .map(|source| source.path.clone())
            .collect();
        if let Err(why) = context::copy(
            &mut self.copier,
            context,
            &saved,
            self.request.context_limit,
        )? {
            let what = format!(
                "build context `{}` of service `{service}`",
                context.display()
            );
            self.copier.gap(what, why, true);
        }
        Ok(())
    }

    fn unresolved(&mut self, unresolved: Unresolved, file: &Path) {
        let Unresolved {
            what,
            text,
            variables,
        } = unresolved;
        let why = if variables.is_empty() {
            format!("its path `{text}` is empty with the variables that are known")
        } else {
            format!(
                "its path `{text}` needs `{}`, which no file gives and no container shows",
                variables.join("`, `")
            )
        };
        self.copier
            .gap(format!("{what} in `{}`", file.display()), why, true);
    }

    /// Adds the variables of `files` to `known`.
    fn read_environment(&mut self, files: &[PathBuf], known: &mut Environment) -> Result<()> {
        for path in files {
            if let Some(text) = self
                .copier
                .file(path, FileRole::Environment, "environment file")?
            {
                let text = String::from_utf8_lossy(&text).into_owned();
                self.texts.insert(path.clone(), text);
            }
            if let Some(text) = self.texts.get(path) {
                environment::read(text, known);
            }
        }
        Ok(())
    }
}

/// A path as this host has it. `moved`: how a stack manager in a container names the project's directory, and where that is here.
fn here(path: PathBuf, moved: Option<(&PathBuf, &PathBuf)>) -> PathBuf {
    match moved {
        Some((from, to)) if !path.exists() => match path.strip_prefix(from) {
            Ok(below) => to.join(below),
            Err(_) => path,
        },
        _ => path,
    }
}

/// What a shell most likely had where nothing tells: compose is run in the project's directory, by its owner.
fn guesses(group: &ComposeGroup, base: &Path) -> Environment {
    let mut guesses = Environment::new();
    let directory = group.named_dir.as_deref().unwrap_or(base);
    guesses.insert("PWD".to_owned(), directory.display().to_string());
    let owner = std::fs::metadata(base).map(|metadata| metadata.uid());
    if let Ok(Some(home)) = owner.map(home_of) {
        guesses.insert("HOME".to_owned(), home);
    }
    guesses
}

/// One sentence about variables that only a shell or a unit gave, and that the containers tell. Every shell has a `PWD`.
fn of_a_shell(record: &ProjectRecord) -> Option<String> {
    let names: Vec<String> = record
        .inferred
        .iter()
        .filter(|(name, value)| !value.is_empty() && !matches!(name.as_str(), "PWD" | "HOME"))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        return None;
    }
    Some(format!(
        "no file gives these variables of the compose files: {}. Their values are taken from the containers; write them into `.env`, \
         or compose will not have them",
        names.join(", ")
    ))
}

/// As `/etc/passwd` has it.
fn home_of(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_it = fields.next()?.parse() == Ok(uid);
        is_it.then(|| fields.nth(2).map(str::to_owned))?
    })
}
