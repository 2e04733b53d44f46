//! Whether Docker could start a container again, were it stopped. What could not come back must not be stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::depends;
use super::host::PathKind;
use super::mount_table::MountTable;
use super::place::clean;
use super::scene::{Scene, Strayed};
use super::system_paths;
use crate::drivers::docker::ContainerInspectResponse;
use crate::model::Container;
use crate::model::unit::{Mount, MountKind, Obstacle, Role};

/// For all containers together: `/proc` answers at once, unless the host is in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// What running containers have mounted, by id. One that may not be looked into is missing.
pub type Mounted = BTreeMap<String, MountTable>;

/// Looks into the mount namespace of every container that runs and has something of the host mounted. Only the kernel's table is read:
/// no file system is asked, so none can keep us waiting.
pub async fn mounted(containers: impl Iterator<Item = &ContainerInspectResponse>) -> Mounted {
    let processes: Vec<(String, i64)> = containers
        .filter_map(|raw| {
            let has_bind = raw
                .mounts
                .iter()
                .flatten()
                .any(|mount| mount.typ.as_deref() == Some("bind"));
            let pid = raw.state.as_ref()?.pid.filter(|pid| *pid > 0)?;
            has_bind.then(|| Some((raw.id.clone()?, pid)))?
        })
        .collect();
    if processes.is_empty() {
        return Mounted::new();
    }
    let look = tokio::task::spawn_blocking(move || {
        let tables = processes
            .into_iter()
            .filter_map(|(id, pid)| Some((table(&id, pid)?, id)));
        tables.map(|(table, id)| (id, table)).collect()
    });
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(Ok(mounted)) => mounted,
        _ => Mounted::new(),
    }
}

/// `None` when the process is not one of the container: its number may be one of another host or namespace.
fn table(id: &str, pid: i64) -> Option<MountTable> {
    let of_process = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
    let groups = String::from_utf8_lossy(&of_process("cgroup")?).into_owned();
    groups
        .contains(id)
        .then(|| of_process("mountinfo").map(|text| MountTable::parse(&text)))?
}

/// Fills in whom each container lives in, and what stands in the way of its start.
pub fn mark(scene: &mut Scene, mounted: &Mounted) {
    // In a container of our own most paths of the host are not there.
    let sees_host = !scene
        .containers
        .iter()
        .any(|container| container.standing.role == Some(Role::Own));
    let mut strayed = Vec::new();
    let mut found = Vec::new();
    for container in &scene.containers {
        let raw = scene.raw.get(container.id.as_str()).copied();
        let (lives_in, mut obstacles) = neighbours(scene, raw);
        if sees_host && container.state.is_up() {
            let inside = mounted.get(&container.id);
            for mount in container
                .mounts
                .iter()
                .filter(|mount| mount.kind == MountKind::Bind)
            {
                match bind(scene, mount, inside) {
                    Ok(()) => {}
                    Err(Wrong::Source(sentence)) => obstacles.push(Obstacle {
                        sentence,
                        at: Some(clean(&mount.source)),
                    }),
                    Err(Wrong::Strayed(sentence)) => {
                        obstacles.push(Obstacle {
                            sentence: format!("`{}`: {sentence}", mount.source.display()),
                            at: Some(clean(&mount.source)),
                        });
                        strayed.push(Strayed {
                            container: container.id.clone(),
                            path: clean(&mount.source),
                            sentence,
                        });
                    }
                }
            }
        }
        found.push((lives_in, obstacles));
    }
    for (container, (lives_in, obstacles)) in scene.containers.iter_mut().zip(found) {
        container.standing.lives_in = lives_in;
        container.standing.obstacles = obstacles;
    }
    scene.strayed = strayed;
}

/// Whose namespaces it lives in, and what of it is gone.
fn neighbours(
    scene: &Scene,
    raw: Option<&ContainerInspectResponse>,
) -> (Vec<String>, Vec<Obstacle>) {
    let mut lives_in = BTreeSet::new();
    let mut obstacles = Vec::new();
    let gone = |what: &str, name: &str| {
        let short: String = name.chars().take(12).collect();
        Obstacle {
            sentence: format!("it uses the {what} of container `{short}`, which is gone"),
            at: None,
        }
    };
    for (name, what) in depends::namespaces(raw) {
        match depends::find(&scene.containers, name) {
            Some(other) => {
                lives_in.insert(other.id.clone());
            }
            None => obstacles.push(gone(what, name)),
        }
    }
    for name in depends::volumes_from(raw) {
        if depends::find(&scene.containers, name).is_none() {
            obstacles.push(gone("volumes", name));
        }
    }
    (lives_in.into_iter().collect(), obstacles)
}

/// Why a container could not be started again, and what puts it right.
#[derive(Debug, PartialEq, Eq)]
pub struct NoWayBack {
    pub why: String,
    pub remedy: String,
}

/// `None` for a container that may be stopped. Paths for which `is_mended` is true are put right before it is started.
pub fn no_way_back(container: &Container, is_mended: impl Fn(&Path) -> bool) -> Option<NoWayBack> {
    let obstacles = container.standing.obstacles.iter();
    let left: Vec<&Obstacle> = obstacles
        .filter(|obstacle| !obstacle.at.as_deref().is_some_and(&is_mended))
        .collect();
    if left.is_empty() {
        return None;
    }
    let why: Vec<&str> = left
        .iter()
        .map(|obstacle| obstacle.sentence.as_str())
        .collect();
    Some(NoWayBack {
        why: why.join("; "),
        remedy: remedy(container, &left),
    })
}

/// A path that is gone does not come back with a new container: that would start on an empty directory, or not at all.
fn remedy(container: &Container, obstacles: &[&Obstacle]) -> String {
    let again = if container.project.is_some() {
        "run `docker compose up -d` in the project's directory, which creates it again"
    } else {
        "create it again"
    };
    let paths = obstacles.iter().filter_map(|obstacle| obstacle.at.as_ref());
    let paths: Vec<String> = paths.map(|path| format!("`{}`", path.display())).collect();
    if paths.is_empty() {
        return again.to_owned();
    }
    let bring = format!("bring {} back (is its disk mounted?)", paths.join(" and "));
    if paths.len() == obstacles.len() {
        format!("{bring}, then restart the container")
    } else {
        format!("{bring}, then {again}")
    }
}

enum Wrong {
    Source(String),
    /// The container has something else mounted than the path leads to.
    Strayed(String),
}

fn bind(scene: &Scene, mount: &Mount, inside: Option<&MountTable>) -> Result<(), Wrong> {
    let path = clean(&mount.source);
    let facts = scene.host.facts(&path);
    if is_hidden(scene, &path) || is_hidden(scene, &facts.real) {
        return Ok(());
    }
    let source = |what: &str| {
        Err(Wrong::Source(format!(
            "its bind mount source `{}` {what}",
            path.display()
        )))
    };
    match facts.kind {
        PathKind::Missing => source("is not there, or cannot be read"),
        PathKind::Silent => source("is on a file system that does not answer"),
        // That this program may not look says nothing about Docker.
        PathKind::Denied => Ok(()),
        kind => strays(scene, mount, &facts.real, kind, inside)
            .map_or(Ok(()), |sentence| Err(Wrong::Strayed(sentence.to_owned()))),
    }
}

/// What is wrong with what the container has mounted. A file that was replaced by another is nothing: editors do that.
fn strays(
    scene: &Scene,
    mount: &Mount,
    real: &Path,
    kind: PathKind,
    inside: Option<&MountTable>,
) -> Option<&'static str> {
    let inside = inside?.at(Path::new(&mount.destination))?;
    let outside = scene.host.mounts.of(real)?;
    if inside.device != outside.device {
        return Some(
            "the container has another file system mounted there than the host shows now: was a disk mounted or unmounted since it started?",
        );
    }
    let below = real.strip_prefix(&outside.point).ok()?;
    let expected: PathBuf = outside.root.join(below).components().collect();
    (kind == PathKind::Directory && inside.root != expected).then_some(
        "the container has a directory mounted there that was moved or removed since it started",
    )
}

/// What a service of systemd sees of these is its own, not the host's; and nothing of it is data.
fn is_hidden(scene: &Scene, path: &Path) -> bool {
    if ["/dev", "/proc", "/sys"]
        .iter()
        .any(|hidden| path.starts_with(hidden))
    {
        return true;
    }
    scene.host.mounts.of(path).is_some_and(|on| {
        let is_private = on.root.components().any(|part| {
            part.as_os_str()
                .to_string_lossy()
                .starts_with("systemd-private-")
        });
        let is_pseudo = system_paths::is_pseudo(&on.fs_type) && on.point != Path::new("/");
        is_private || is_pseudo
    })
}
