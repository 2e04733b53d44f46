//! Where the files of an old recipe were. It has them by their last names alone; the containers' labels, and the coverage
//! manifest of newer versions, have paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::dumps::Dumps;
use crate::discovery::labels;
use crate::drivers::kopia::Entry;
use crate::model::point::{FileRecord, FileRole, ProjectRecord};
use crate::model::source::{Gap, GapReason};

/// `coverage-manifest.json`, since version 7.8: what the old tool found, and what it did with it.
#[derive(Debug, Default, Deserialize)]
pub struct Coverage {
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub kind: String,
    pub identifier: String,
    pub status: String,
    #[serde(default)]
    pub detail: String,
}

impl Coverage {
    /// What it calls `kind` and has saved, as paths.
    fn paths(&self, kind: &str) -> impl Iterator<Item = PathBuf> {
        self.dependencies
            .iter()
            .filter(move |one| one.kind == kind && one.is_saved())
            .map(|one| PathBuf::from(&one.identifier))
    }
}

impl Dependency {
    pub fn is_saved(&self) -> bool {
        self.status == "backed_up"
    }

    pub fn is_lost(&self) -> bool {
        matches!(self.status.as_str(), "not_protected" | "not_supported")
    }
}

/// The files in a recipe, by name.
#[derive(Debug, Default)]
pub struct Stored {
    /// In override order.
    pub compose: Vec<Entry>,
    /// Those of `project-files/`.
    pub beside: Vec<Entry>,
}

#[derive(Debug, Default)]
pub struct Placed {
    pub project: Option<ProjectRecord>,
    pub records: Vec<FileRecord>,
    /// What is in the recipe for each path.
    pub entries: BTreeMap<PathBuf, Entry>,
    pub gaps: Vec<Gap>,
}

/// Finds out where each of `stored` was.
pub fn place(stored: &Stored, dumps: &Dumps, coverage: &Coverage) -> Placed {
    let mut placed = Placed::default();
    let folder = dumps.paths(labels::WORKING_DIR).into_iter().next();
    let mut compose_files = Vec::new();
    for entry in &stored.compose {
        let labelled = dumps.paths(labels::CONFIG_FILES).into_iter();
        let known = [coverage.paths("compose_file").collect(), labelled.collect()];
        if let Some(path) = placed.put(entry, FileRole::Compose, &known, folder.as_deref()) {
            compose_files.push(path);
        }
    }
    // Taken from beside the compose files: it is unknown which of several directories.
    let mut folders: Vec<&Path> = compose_files
        .iter()
        .filter_map(|path| path.parent())
        .collect();
    folders.sort_unstable();
    folders.dedup();
    let beside = match folders.as_slice() {
        [one] => Some((*one).to_owned()),
        [] => folder.clone(),
        _ => None,
    };
    let env_files = dumps.paths(labels::ENVIRONMENT_FILE);
    for entry in &stored.beside {
        let role = if entry.name.starts_with(".env") {
            FileRole::Environment
        } else {
            FileRole::Referenced
        };
        let known = [coverage.paths("project_file").collect(), env_files.clone()];
        placed.put(entry, role, &known, beside.as_deref());
    }
    for path in &env_files {
        if !placed.entries.contains_key(path) {
            let what = format!("environment file `{}`", path.display());
            placed.lose(what, "the Python tool did not save it");
        }
    }
    let is_project = dumps.project().is_some() || !stored.compose.is_empty();
    if is_project && stored.compose.is_empty() {
        placed.lose("compose files".to_owned(), "its recipe has none");
    }
    placed.project = is_project.then_some(ProjectRecord {
        working_dir: folder,
        compose_files,
        env_files,
        ..ProjectRecord::default()
    });
    placed
}

impl Placed {
    /// Puts `entry` where the first of `known` that names it says, else into `folder`.
    fn put(
        &mut self,
        entry: &Entry,
        role: FileRole,
        known: &[Vec<PathBuf>],
        folder: Option<&Path>,
    ) -> Option<PathBuf> {
        let mut found = known.iter().map(|paths| named(paths, &entry.name));
        let found = found.find(|paths| !paths.is_empty());
        let path = match (found.as_deref(), folder) {
            (Some([path]), _) => path.clone(),
            (None, Some(folder)) => folder.join(&entry.name),
            (Some(several), _) => {
                let several: Vec<String> = several
                    .iter()
                    .map(|path| format!("`{}`", path.display()))
                    .collect();
                let why = format!(
                    "of {} the Python tool saved one, and did not say which",
                    several.join(" and ")
                );
                self.lose(format!("file `{}`", entry.name), &why);
                return None;
            }
            (None, None) => {
                let what = format!("file `{}`", entry.name);
                self.lose(what, "the point has it, but does not say where it was");
                return None;
            }
        };
        if self.entries.insert(path.clone(), entry.clone()).is_none() {
            self.records.push(FileRecord {
                path: path.clone(),
                role,
                attributes: None,
                link: None,
            });
        }
        Some(path)
    }

    fn lose(&mut self, what: String, detail: &str) {
        self.gaps.push(Gap {
            what,
            reason: GapReason::Recipe,
            detail: detail.to_owned(),
            is_loss: true,
        });
    }
}

/// Those of `paths` that end in `name`, each once.
fn named(paths: &[PathBuf], name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = paths
        .iter()
        .filter(|path| path.is_absolute() && path.file_name().is_some_and(|last| last == name))
        .cloned()
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(name: &str) -> Entry {
        serde_json::from_value(json!({
            "name": name, "type": "f", "mode": "0644", "size": 3, "mtime": "2026-01-01T00:00:00Z", "obj": "ab"
        }))
        .unwrap()
    }

    fn dumps(labels: Value) -> Dumps {
        let mut dumps = Dumps::default();
        let one = json!([{"Name": "/c", "Created": "x", "Config": {"Labels": labels}}]);
        assert!(dumps.add(one.to_string().as_bytes()));
        dumps
    }

    fn places(placed: &Placed) -> Vec<&str> {
        placed
            .records
            .iter()
            .map(|record| record.path.to_str().unwrap())
            .collect()
    }

    #[test]
    fn labels_and_the_coverage_manifest_say_where_files_were() {
        let stored = Stored {
            compose: vec![entry("b.yml"), entry("a.yml")],
            beside: vec![entry(".env"), entry("x.conf")],
        };
        let labels = dumps(json!({
            "com.docker.compose.project": "p", "com.docker.compose.project.working_dir": "/opt/p",
            "com.docker.compose.project.config_files": "/opt/p/b.yml,/srv/a.yml",
        }));
        let placed = place(&stored, &labels, &Coverage::default());
        // Two folders: what lay beside them may have been in either.
        assert_eq!(places(&placed), ["/opt/p/b.yml", "/srv/a.yml"]);
        assert_eq!(placed.gaps.len(), 2, "{:?}", placed.gaps);
        let coverage: Coverage = serde_json::from_value(json!({"dependencies": [
            {"kind": "compose_file", "identifier": "/host/b.yml", "status": "backed_up"},
            {"kind": "project_file", "identifier": "/host/.env", "status": "backed_up", "detail": ""},
        ]}))
        .unwrap();
        let placed = place(&stored, &labels, &coverage);
        assert_eq!(places(&placed), ["/host/b.yml", "/srv/a.yml", "/host/.env"]);
        let project = placed.project.unwrap();
        assert_eq!(project.working_dir.as_deref(), Some(Path::new("/opt/p")));
        assert_eq!(project.compose_files.len(), 2);
    }

    #[test]
    fn one_name_for_two_files_is_given_to_neither() {
        let stored = Stored {
            compose: vec![entry("c.yml")],
            beside: Vec::new(),
        };
        let labels = dumps(json!({
            "com.docker.compose.project": "p",
            "com.docker.compose.project.config_files": "/a/c.yml,/b/c.yml",
        }));
        let placed = place(&stored, &labels, &Coverage::default());
        assert!(placed.records.is_empty());
        assert!(placed.gaps[0].detail.contains("did not say which"));
        let nowhere = place(&stored, &Dumps::default(), &Coverage::default());
        assert!(nowhere.gaps[0].detail.contains("where it was"));
    }
}
