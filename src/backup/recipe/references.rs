//! The files that a compose file names.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::environment::Environment;
use super::interpolate::{interpolate, unknown};
use crate::discovery::place::clean;

/// What one compose file names, every path absolute.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct References {
    pub files: Vec<Reference>,
    /// Compose files that it is made of: to be read as well.
    pub parts: Vec<Part>,
    /// Directories that images are built from: `(service, folder)`.
    pub build_contexts: Vec<(String, PathBuf)>,
    /// What cannot be found, since its path is not known.
    pub unresolved: Vec<Unresolved>,
    /// Secrets and configs that compose takes from a variable: `(what, variable)`.
    pub from_variables: Vec<(String, String)>,
}

/// A path that hangs on variables without a value, or that is empty with theirs.
#[derive(Debug, PartialEq, Eq)]
pub struct Unresolved {
    pub what: String,
    /// As the compose file has it.
    pub text: String,
    /// Empty when the path is.
    pub variables: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Reference {
    pub path: PathBuf,
    /// As the operator knows it: ``env_file of service `web` ``.
    pub what: String,
    /// False when compose goes on without it.
    pub is_required: bool,
}

/// Another compose file.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub path: PathBuf,
    /// What its relative paths are relative to.
    pub base: PathBuf,
    /// `Some` for an `include`: the environment files it is read with, in place of the `.env` of its base.
    pub environment: Option<Vec<PathBuf>>,
    pub is_include: bool,
}

/// Reads `document`, whose relative paths are relative to `base`.
pub fn references(document: &Value, base: &Path, environment: &Environment) -> References {
    let mut reader = Reader {
        base,
        environment,
        found: References::default(),
    };
    for include in items(document.get("include")) {
        reader.include(include);
    }
    for (name, service) in entries(document.get("services")) {
        reader.service(name, service);
    }
    for kind in ["secrets", "configs"] {
        for (name, definition) in entries(document.get(kind)) {
            let what = format!("{} `{name}`", kind.trim_end_matches('s'));
            if let Some(variable) = definition.get("environment").and_then(Value::as_str) {
                let variable = (what.clone(), variable.to_owned());
                reader.found.from_variables.push(variable);
            }
            reader.file(definition.get("file"), what, true);
        }
    }
    reader.found
}

struct Reader<'a> {
    base: &'a Path,
    environment: &'a Environment,
    found: References,
}

impl Reader<'_> {
    fn service(&mut self, name: &str, service: &Value) {
        for entry in items(service.get("env_file")) {
            let is_required = entry
                .get("required")
                .and_then(Value::as_bool)
                .unwrap_or(true);
            let path = entry.get("path").unwrap_or(entry);
            self.file(
                Some(path),
                format!("env_file of service `{name}`"),
                is_required,
            );
        }
        for path in items(service.get("label_file")) {
            self.file(Some(path), format!("label_file of service `{name}`"), true);
        }
        let credentials = service
            .get("credential_spec")
            .and_then(|spec| spec.get("file"));
        self.file(
            credentials,
            format!("credential_spec of service `{name}`"),
            true,
        );
        for option in items(service.get("security_opt")).filter_map(Value::as_str) {
            let profile = option
                .strip_prefix("seccomp:")
                .or_else(|| option.strip_prefix("seccomp="))
                .filter(|profile| *profile != "unconfined");
            let what = format!("seccomp profile of service `{name}`");
            if let Some(path) = profile.and_then(|profile| self.path(profile, &what, true)) {
                self.push(path, what, true);
            }
        }
        let extends = service
            .get("extends")
            .and_then(|extends| extends.get("file"));
        let what = format!("extends of service `{name}`");
        if let Some(path) = extends
            .and_then(Value::as_str)
            .and_then(|file| self.path(file, &what, true))
        {
            let base = path.parent().unwrap_or(self.base).to_owned();
            self.found.parts.push(Part {
                path,
                base,
                environment: None,
                is_include: false,
            });
        }
        if let Some(build) = service.get("build") {
            self.build(name, build);
        }
    }

    /// A path, or `{context, dockerfile, additional_contexts}`.
    fn build(&mut self, name: &str, build: &Value) {
        let context = build.as_str().or_else(|| build.get("context")?.as_str());
        let Some(context) = self.context(name, context.unwrap_or(".")) else {
            return;
        };
        if build.get("dockerfile_inline").is_none() {
            let dockerfile = build.get("dockerfile").and_then(Value::as_str);
            let dockerfile = interpolate(dockerfile.unwrap_or("Dockerfile"), self.environment);
            let path = clean(&context.join(dockerfile));
            self.push(path, format!("Dockerfile of service `{name}`"), false);
        }
        self.found.build_contexts.push((name.to_owned(), context));
        let others = build.get("additional_contexts");
        let listed = items(others.filter(|others| others.is_array()))
            .filter_map(|other| Some(other.as_str()?.split_once('=')?.1));
        let named = entries(others).filter_map(|(_, other)| other.as_str());
        for other in listed.chain(named) {
            if let Some(context) = self.context(name, other) {
                self.found.build_contexts.push((name.to_owned(), context));
            }
        }
    }

    /// `None` for one that is not a directory of this host.
    fn context(&mut self, name: &str, text: &str) -> Option<PathBuf> {
        let is_remote = text.contains("://")
            || [
                "git@",
                "github.com/",
                "service:",
                "docker-image:",
                "target:",
            ]
            .iter()
            .any(|start| text.starts_with(start));
        if is_remote {
            return None;
        }
        self.path(text, &format!("build context of service `{name}`"), true)
    }

    /// A path, or `{path, project_directory, env_file}`, the paths one or several.
    fn include(&mut self, include: &Value) {
        let mut all = |value: Option<&Value>, what: &str| -> Vec<PathBuf> {
            items(value)
                .filter_map(Value::as_str)
                .filter_map(|path| self.path(path, what, true))
                .collect()
        };
        let paths = all(Some(include.get("path").unwrap_or(include)), "include");
        let Some(first) = paths.first() else {
            return;
        };
        let base = all(
            include.get("project_directory"),
            "project_directory of an include",
        )
        .pop()
        .or_else(|| Some(first.parent()?.to_owned()));
        let environment = include
            .get("env_file")
            .map(|files| all(Some(files), "env_file of an include"));
        let base = base.unwrap_or_else(|| self.base.to_owned());
        self.found.parts.extend(paths.into_iter().map(|path| Part {
            path,
            base: base.clone(),
            environment: environment.clone(),
            is_include: true,
        }));
    }

    fn file(&mut self, path: Option<&Value>, what: String, is_required: bool) {
        if let Some(path) = path
            .and_then(Value::as_str)
            .and_then(|path| self.path(path, &what, is_required))
        {
            self.push(path, what, is_required);
        }
    }

    fn push(&mut self, path: PathBuf, what: String, is_required: bool) {
        if !self.found.files.iter().any(|known| known.path == path) {
            self.found.files.push(Reference {
                path,
                what,
                is_required,
            });
        }
    }

    /// `None` for what is no path on this host, and for what is not known to be one: that is noted if it `is_required`.
    fn path(&mut self, text: &str, what: &str, is_required: bool) -> Option<PathBuf> {
        let is_in_home = text == "~" || text.starts_with("~/");
        let full = if is_in_home {
            text.replacen('~', "${HOME}", 1)
        } else {
            text.to_owned()
        };
        let path = interpolate(&full, self.environment);
        let variables = unknown(&full, self.environment);
        if !variables.is_empty() || path.is_empty() {
            // With a part of it empty it would be another path, and what is there none of the project's.
            if is_required {
                self.found.unresolved.push(Unresolved {
                    what: what.to_owned(),
                    text: text.to_owned(),
                    variables,
                });
            }
            return None;
        }
        (!path.contains("://")).then(|| clean(&self.base.join(path)))
    }
}

/// The items of a list; a single value is a list of one.
fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Some(Value::Array(items)) => (None, items.as_slice()),
        Some(Value::Null) | None => (None, [].as_slice()),
        one => (one, [].as_slice()),
    };
    one.into_iter().chain(many)
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}
