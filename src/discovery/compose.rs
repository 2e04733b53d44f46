//! Where a project's compose files are on this host.
//!
//! The labels have the paths as whoever ran compose saw them. A manager in a container (Portainer, Dockge) sees its
//! own file system: such a path is found again through what the containers have mounted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::labels;
use super::place::{self, Place, Volumes, clean};
use super::scene::Scene;
use crate::model::source::{Gap, GapReason};
use crate::model::unit::{ComposeProject, Container};

#[derive(Debug)]
pub struct Project {
    pub compose: ComposeProject,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
}

/// The paths that a container's labels name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    working_dir: Option<PathBuf>,
    files: Vec<PathBuf>,
    env_files: Vec<PathBuf>,
}

/// From the labels of `containers`, which are of one project.
pub fn project(scene: &Scene, containers: &[Container]) -> Project {
    let mut containers: Vec<&Container> = containers.iter().collect();
    // After a move only new containers have the new paths. Times in this form sort as text.
    containers.sort_by_key(|container| std::cmp::Reverse(created(scene, container)));
    let mut all = containers
        .iter()
        .map(|container| named(&container.labels))
        .filter(|named| *named != Named::default());
    let newest = all.next().unwrap_or_default();
    let mut warnings = Vec::new();
    if let Some(other) = all.find(|other| other.working_dir != newest.working_dir) {
        let show = |path: &Option<PathBuf>| {
            path.as_deref()
                .map_or("none".to_owned(), |path| format!("`{}`", path.display()))
        };
        warnings.push(format!(
            "its containers name different working directories, {} and {}: the newest container's is used",
            show(&newest.working_dir),
            show(&other.working_dir)
        ));
    }

    let mut missing = Vec::new();
    let mut gaps = Vec::new();
    let mut find_all = |paths: &[PathBuf], kind: &str| -> Vec<PathBuf> {
        let mut found = Vec::new();
        for path in paths {
            match locate(scene, path, |path| scene.host.is_file(path)) {
                Some(path) => found.push(path),
                None => {
                    missing.push(path.display().to_string());
                    gaps.push(Gap {
                        what: format!("{kind} `{}`", path.display()),
                        reason: GapReason::Recipe,
                        detail: "it is not on this host, nor in what a container of a stack manager has mounted"
                            .to_owned(),
                        is_loss: true,
                    });
                }
            }
        }
        found
    };
    let files = find_all(&newest.files, "compose file");
    let env_files = find_all(&newest.env_files, "environment file");
    if newest.files.is_empty() {
        gaps.push(Gap {
            what: "compose files".to_owned(),
            reason: GapReason::Recipe,
            detail: "no container has a label that names them".to_owned(),
            is_loss: true,
        });
    }
    Project {
        compose: ComposeProject {
            working_dir: newest
                .working_dir
                .and_then(|path| locate(scene, &path, |path| scene.host.is_directory(path))),
            files,
            missing,
            env_files,
        },
        gaps,
        warnings,
    }
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
                .chain(named.files)
                .chain(named.env_files)
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
    // docker-compose 1.x names files relative to the working directory.
    let absolute = |path: &str| match &working_dir {
        Some(working_dir) => clean(&working_dir.join(path)),
        None => PathBuf::from(path),
    };
    Named {
        files: labels::list(labels, labels::CONFIG_FILES)
            .map(absolute)
            .collect(),
        env_files: labels::list(labels, labels::ENVIRONMENT_FILE)
            .map(absolute)
            .collect(),
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
