//! Where a project's compose files are on this host.
//!
//! The labels have the paths as the process that ran compose saw them. A manager in a container (Portainer, Dockge) sees its
//! own file system: such a path is found again through what the containers have mounted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::compose_label::Label;
use super::labels;
use super::place::{self, Place, Volumes, clean};
use super::scene::Scene;
use crate::model::source::{Gap, GapReason};
use crate::model::unit::{ComposeGroup, ComposeProject, Container};

#[derive(Debug)]
pub struct Project {
    pub compose: ComposeProject,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
}

/// The paths that a container's labels name. Of a label with commas every way to read it: a path may have some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    working_dir: Option<PathBuf>,
    files: Label,
    env_files: Label,
}

/// From the labels of `containers`, which are of one project: the union of what they name.
pub fn project(scene: &Scene, containers: &[Container]) -> Project {
    let mut containers: Vec<&Container> = containers.iter().collect();
    // After a move only new containers have the new paths. Times in this form sort as text.
    containers.sort_by_key(|container| std::cmp::Reverse(created(scene, container)));
    let mut groups: Vec<(Named, ComposeGroup)> = Vec::new();
    let mut unnamed = BTreeSet::new();
    for container in containers {
        let named = named(&container.labels);
        let service = container.service.clone();
        if named == Named::default() {
            unnamed.extend(service);
            continue;
        }
        match groups.iter_mut().find(|(known, _)| *known == named) {
            Some((_, group)) => group.services.extend(service),
            None => {
                let mut group = group(scene, &named);
                group.services.extend(service);
                groups.push((named, group));
            }
        }
    }
    for (_, group) in &mut groups {
        group.services.sort();
        group.services.dedup();
    }
    let mut gaps = Vec::new();
    for (index, (named, group)) in groups.iter().enumerate() {
        for path in &group.missing {
            let is_env = named
                .env_files
                .all()
                .iter()
                .any(|file| file == Path::new(path));
            let kind = if is_env {
                "environment file"
            } else {
                "compose file"
            };
            let what = format!("{kind} `{path}`");
            if !gaps.iter().any(|known: &Gap| known.what == what) {
                // Of an older group the backup finds out: what the newest files have as well is no loss.
                gaps.push(missing(what, path, index == 0));
            }
        }
    }
    let warnings = several(groups.iter().map(|(named, _)| named));
    let groups: Vec<ComposeGroup> = groups.into_iter().map(|(_, group)| group).collect();
    if groups
        .iter()
        .all(|group| group.files.is_empty() && group.missing.is_empty())
    {
        gaps.push(Gap {
            what: "compose files".to_owned(),
            reason: GapReason::Recipe,
            detail: "no container has a label that names them".to_owned(),
            is_loss: true,
        });
    }
    let newest = groups.first().cloned().unwrap_or_default();
    Project {
        compose: ComposeProject {
            working_dir: newest.working_dir,
            files: newest.files,
            missing: newest.missing,
            env_files: newest.env_files,
            groups,
        },
        gaps,
        warnings,
    }
}

fn missing(what: String, path: &str, is_loss: bool) -> Gap {
    // Compose notes it as a file of that name in the directory where it was run.
    let detail = if Path::new(path).file_name() == Some("-".as_ref()) {
        "compose read it from its standard input (`-f -`): keep it in a file, and run compose with that"
    } else {
        "it is not on this host, nor in what a container of a stack manager has mounted"
    };
    Gap {
        what,
        reason: GapReason::Recipe,
        detail: detail.to_owned(),
        is_loss,
    }
}

fn group(scene: &Scene, named: &Named) -> ComposeGroup {
    let mut missing = Vec::new();
    let mut find_all = |label: &Label| -> Vec<PathBuf> {
        let mut found = Vec::new();
        for path in
            label.read(|path| locate(scene, path, |path| scene.host.is_file(path)).is_some())
        {
            match locate(scene, &path, |path| scene.host.is_file(path)) {
                Some(path) => found.push(path),
                None => missing.push(path.display().to_string()),
            }
        }
        found
    };
    ComposeGroup {
        files: find_all(&named.files),
        env_files: find_all(&named.env_files),
        working_dir: named
            .working_dir
            .as_ref()
            .and_then(|path| locate(scene, path, |path| scene.host.is_directory(path))),
        named_dir: named.working_dir.clone(),
        missing,
        services: Vec::new(),
    }
}

/// Directories that differ are said: compose takes the name of a project from its directory, so two may have the same.
fn several<'a>(groups: impl Iterator<Item = &'a Named>) -> Vec<String> {
    let mut directories: Vec<String> = Vec::new();
    for named in groups {
        let directory = named
            .working_dir
            .as_deref()
            .map_or("none".to_owned(), |path| format!("`{}`", path.display()));
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    if directories.len() < 2 {
        return Vec::new();
    }
    vec![format!(
        "its containers name different working directories, {}: the files of all of them are saved. If these are projects of their own, \
         they have the same name: give each its own with `name:` in its compose file",
        directories.join(" and ")
    )]
}

/// What [`project`] will look for.
pub fn paths_of_interest(containers: &[Container], volumes: &Volumes) -> BTreeSet<PathBuf> {
    let named: BTreeSet<PathBuf> = containers
        .iter()
        .map(|container| named(&container.labels))
        .flat_map(|named| {
            named
                .working_dir
                .into_iter()
                .chain(named.files.all())
                .chain(named.env_files.all())
        })
        .collect();
    let mapped: Vec<PathBuf> = named
        .iter()
        .flat_map(|path| candidates(containers, volumes, path))
        .collect();
    named.into_iter().chain(mapped).collect()
}

/// `path` itself, or the first of its candidates that `is_it`.
fn locate(scene: &Scene, path: &Path, is_it: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    std::iter::once(path.to_owned())
        .chain(candidates(&scene.containers, &scene.volumes, path))
        .find(|path| is_it(path))
}

/// Where `path`, as a container sees it, would be on the host: by every mount of every container, the one that is
/// mounted deepest first.
fn candidates(containers: &[Container], volumes: &Volumes, path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(usize, PathBuf)> = Vec::new();
    for mount in containers.iter().flat_map(|container| &container.mounts) {
        let destination = clean(Path::new(&mount.destination));
        if let Ok(rest) = path.strip_prefix(&destination)
            && let Place::Path(host) = place::of_mount(mount, volumes)
        {
            // Joining an empty rest would add a slash, which a file does not bear.
            let host = if rest.as_os_str().is_empty() {
                host
            } else {
                host.join(rest)
            };
            found.push((destination.components().count(), host));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.dedup();
    found.into_iter().map(|(_, host)| host).collect()
}

fn named(labels: &labels::Labels) -> Named {
    let working_dir = labels
        .get(labels::WORKING_DIR)
        .filter(|path| path.starts_with('/'))
        .map(|path| clean(Path::new(path)));
    let label = |key| Label::new(labels.get(key), working_dir.as_deref());
    Named {
        files: label(labels::CONFIG_FILES),
        env_files: label(labels::ENVIRONMENT_FILE),
        working_dir,
    }
}

fn created(scene: &Scene, container: &Container) -> String {
    scene
        .raw
        .get(container.id.as_str())
        .and_then(|raw| raw.created.clone())
        .unwrap_or_default()
}
