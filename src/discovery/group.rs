//! From what is on the host to units: pure, so that every odd host can be tried from a recording.

use std::collections::BTreeSet;

use super::container::networks;
use super::depends;
use super::levels::levels;
use super::members::{Members, members};
use super::place::{self, Place};
use super::policy::Policy;
use super::scene::Scene;
use super::sources;
use super::writers::Writes;
use super::{OrphanVolume, compose, labels};
use crate::model::Unit;
use crate::model::source::{Gap, GapReason, Source, SourceKey};
use crate::model::unit::{Container, ContainerState, MountKind, Role, UnitKind};

/// Every unit of the host, ordered by name; each container is in exactly one, or is one's one-off.
pub fn group(scene: &Scene) -> Vec<Unit> {
    let writes = Writes::new(scene);
    members(&scene.containers)
        .into_iter()
        .map(|members| unit(scene, &writes, members))
        .collect()
}

fn unit(scene: &Scene, writes: &Writes, members: Members) -> Unit {
    let mut warnings = members.warnings;
    let mut services = members.services;
    let foreign = depends::connect(&mut services, &scene.raw);
    warnings.extend(foreign.into_iter().map(|(name, needed, why)| {
        let needed = depends::find(&scene.containers, &needed).map_or(needed, |found| found.name.clone());
        format!("container `{name}` uses the {why} of `{needed}`, which is not of this unit: a stop of one is felt by the other")
    }));
    let levels = levels(&services);
    warnings.extend(levels.cycles.iter().map(|cycle| {
        format!(
            "{} depend on each other in a circle: they are stopped and started together",
            cycle.join(", ")
        )
    }));

    let everyone: Vec<Container> = services.iter().chain(&members.one_offs).cloned().collect();
    let policy = Policy::new(scene.rules, members.name.as_str(), &everyone);
    warnings.extend(policy.warnings.iter().cloned());
    let mut found = sources::find(scene, &policy, writes, &everyone);
    leave_out_strayed(scene, &everyone, &mut found);
    leave_out_repository(&everyone, &mut found);
    warnings.extend(found.warnings);
    let mut gaps = found.gaps;
    gaps.extend(auto_remove(scene, &found.sources, &everyone));
    if members.orchestrator.is_some() {
        gaps.push(Gap {
            what: format!("unit `{}`", members.name),
            reason: GapReason::NotCoverable,
            detail: members.orchestrator.clone().unwrap_or_default(),
            is_loss: !found.sources.is_empty(),
        });
    }
    let compose = (members.kind == UnitKind::Stack && members.orchestrator.is_none()).then(|| {
        let project = compose::project(scene, &everyone);
        gaps.extend(project.gaps);
        warnings.extend(project.warnings);
        project.compose
    });
    Unit {
        name: members.name,
        kind: members.kind,
        networks: networks_of(scene, &everyone),
        containers: services,
        levels: levels.levels,
        sources: found.sources,
        compose,
        gaps,
        not_coverable: members.orchestrator,
        blocker: found.blocker,
        enabled: policy.enabled && !made_way(&everyone),
        warnings,
    }
}

/// A restore put the container of a point in its place, and keeps it for the time that it is taken back.
fn made_way(everyone: &[Container]) -> bool {
    matches!(everyone, [container] if container.name.contains(".kopi-docka-before-"))
}

/// What a container has mounted is not at the path any more: whatever is there now is not its data.
fn leave_out_strayed(scene: &Scene, everyone: &[Container], found: &mut sources::Found) {
    let is_ours = |id: &str| everyone.iter().any(|container| container.id == id);
    for strayed in scene.strayed.iter().filter(|one| is_ours(&one.container)) {
        let key = SourceKey::Bind {
            path: strayed.path.clone(),
        };
        if found.remove(&key) {
            found.gaps.push(Gap {
                what: key.to_string(),
                reason: GapReason::Missing,
                detail: strayed.sentence.clone(),
                is_loss: true,
            });
        }
    }
}

/// The repository is no part of a backup into itself.
fn leave_out_repository(everyone: &[Container], found: &mut sources::Found) {
    let servers = everyone
        .iter()
        .filter(|container| container.standing.role == Some(Role::Repository));
    for (container, mount) in
        servers.flat_map(|container| container.mounts.iter().map(move |mount| (container, mount)))
    {
        let key = match mount.kind {
            MountKind::Volume => SourceKey::Volume {
                name: mount.name.clone(),
            },
            MountKind::Bind => SourceKey::Bind {
                path: place::clean(&mount.source),
            },
            _ => continue,
        };
        if mount.read_write && found.remove(&key) {
            found.gaps.push(Gap {
                what: key.to_string(),
                reason: GapReason::OwnState,
                detail: format!(
                    "container `{}` serves the backup repository and may keep it there",
                    container.name
                ),
                is_loss: false,
            });
        }
    }
}

fn networks_of(scene: &Scene, containers: &[Container]) -> Vec<String> {
    let names: BTreeSet<&str> = containers
        .iter()
        .filter_map(|container| scene.raw.get(container.id.as_str()))
        .flat_map(|raw| networks(raw))
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Running containers that a stop would delete: ours, and those of others that write to what is ours.
fn auto_remove(scene: &Scene, sources: &[Source], own: &[Container]) -> Vec<Gap> {
    let is_member = |id: &str| own.iter().any(|container| container.id == id);
    scene
        .containers
        .iter()
        .filter(|container| {
            container.auto_remove
                && !labels::is_one_off(&container.labels)
                && (container.state.is_up() || container.state == ContainerState::Paused)
        })
        .filter_map(|container| {
            let written: Vec<String> = sources
                .iter()
                .filter(|source| source.writers.contains(&container.id))
                .map(|source| source.key.to_string())
                .collect();
            if written.is_empty() && !is_member(&container.id) {
                return None;
            }
            let detail = if written.is_empty() {
                "it was started with `--rm`: a stop would delete it, so it keeps running".to_owned()
            } else {
                format!(
                    "it was started with `--rm`, so it cannot be stopped without being deleted, and it can write to {}",
                    written.join(", ")
                )
            };
            Some(Gap {
                what: format!("container `{}`", container.name),
                reason: GapReason::AutoRemove,
                detail,
                is_loss: !written.is_empty(),
            })
        })
        .collect()
}

/// Volumes that no container uses: in no unit, so in no backup.
pub fn orphans(scene: &Scene) -> Vec<OrphanVolume> {
    let used: BTreeSet<&str> = scene
        .containers
        .iter()
        .flat_map(|container| &container.mounts)
        .map(|mount| mount.name.as_str())
        .collect();
    scene
        .volumes
        .values()
        .filter(|volume| !used.contains(volume.name.as_str()))
        .map(|volume| OrphanVolume {
            name: volume.name.clone(),
            driver: volume.driver.clone(),
            is_anonymous: place::is_anonymous(&volume.name, &scene.volumes),
            path: match place::of_volume(volume) {
                Place::Path(path) => Some(path),
                _ => None,
            },
        })
        .collect()
}
