//! Whom a swap would pull the data away from: they are stopped, or the restore is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::held::Held;
use super::journal::Journal;
use crate::base::blocking::{aside, looked_up};
use crate::config::{Config, SharedVolumes};
use crate::discovery::{Discovery, NoWayBack, joiners, no_way_back, order};
use crate::error::{Exit, Failure, Result};
use crate::model::unit::{Mount, MountKind, Role};
use crate::model::{Container, ContainerState, SourceKey, Unit, UnitName};
use crate::quiesce::{Entry, Place};

/// What of `journal` a container could have in use.
pub fn swapped_by(journal: &Journal) -> Vec<Place> {
    let swapped = journal.swaps.iter().filter_map(|swap| {
        Some(Place {
            key: swap.key.clone()?,
            path: swap.target.clone(),
        })
    });
    swapped.collect()
}

/// Who is stopped for it.
#[derive(Debug, Default)]
pub struct Users {
    pub entries: Vec<Entry>,
    /// Ids of those that could write to a target and go on all the same.
    pub tolerated: Vec<String>,
    pub warnings: Vec<String>,
    /// Ids of those that are of the unit, or live in the network (or another namespace) of one that is.
    pub of_unit: BTreeSet<String>,
    /// Those of them that are not started again.
    pub held: Vec<Held>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// It has a directory above the target mounted and can write there: it finds the new content by itself.
    Above,
    /// It has the target, or something in it, mounted: it would go on with the old content.
    Holds,
}

/// What decides besides the containers.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub shared: SharedVolumes,
    pub stop_timeout_seconds: i64,
}

/// By what runs now. All of `unit` that runs is stopped. Blocks no longer than disks may take to answer.
pub async fn ask(
    host: &Discovery,
    config: &Config,
    unit: Option<&UnitName>,
    swapped: &[Place],
) -> Result<Users> {
    let real = real_paths(host).await?;
    let settings = config.unit(unit.map_or("", UnitName::as_str));
    let policy = Policy {
        shared: config.backup.shared_volumes,
        stop_timeout_seconds: settings.stop_timeout.as_secs().cast_signed(),
    };
    let unit = unit.and_then(|unit| host.units.iter().find(|known| known.name == *unit));
    find(host, unit, swapped, &real, policy)
}

/// Names of those that have one of `swapped`, or something in it, mounted and were started after `moment`, whether or not they run now.
pub async fn started_since(
    host: &Discovery,
    swapped: &[Place],
    moment: DateTime<Utc>,
) -> Result<Vec<String>> {
    let real = real_paths(host).await?;
    let started = host.containers.iter().filter(|container| {
        let at = container.started_at.parse::<DateTime<Utc>>();
        at.is_ok_and(|at| at > moment)
            && used_by(host, container, swapped, &real)
                .iter()
                .any(|(how, _)| *how == Use::Holds)
    });
    Ok(started.map(|container| container.name.clone()).collect())
}

/// Whether who has `mounts` has one of `swapped`, or something in it. Blocks.
pub fn hold(mounts: &[Mount], swapped: &[Place]) -> bool {
    mounts.iter().any(|mount| {
        let path = mount.source.canonicalize();
        let path = path.as_ref().unwrap_or(&mount.source);
        swapped
            .iter()
            .any(|swapped| mounts_volume(mount, &swapped.key) || is_in(path, &swapped.path))
    })
}

fn mounts_volume(mount: &Mount, key: &SourceKey) -> bool {
    mount.kind == MountKind::Volume
        && matches!(key, SourceKey::Volume { name } if *name == mount.name)
}

/// The links of what containers have mounted, resolved.
async fn real_paths(host: &Discovery) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mounted: Vec<PathBuf> = host
        .containers
        .iter()
        .flat_map(|container| &container.mounts)
        .map(|mount| mount.source.clone())
        .collect();
    looked_up(aside(move || {
        let real = mounted.into_iter().map(|path| {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            (path, real)
        });
        Ok(real.collect::<BTreeMap<_, _>>())
    }))
    .await
}

/// `real` resolves the links of what containers have mounted; what is not in it is as it is.
pub fn find(
    host: &Discovery,
    unit: Option<&Unit>,
    swapped: &[Place],
    real: &BTreeMap<PathBuf, PathBuf>,
    policy: Policy,
) -> Result<Users> {
    let mut users = Users::default();
    let members = unit.map_or(&[][..], |unit| &unit.containers);
    for container in members {
        let used = used_by(host, container, swapped, real);
        users.add_member(unit, container, &used, policy)?;
    }
    users.of_unit = users.entries.iter().map(|entry| entry.id.clone()).collect();
    for container in &host.containers {
        if members.iter().any(|member| member.id == container.id) {
            continue;
        }
        let used = used_by(host, container, swapped, real);
        users.add_foreign(host, container, &used, policy)?;
    }
    users.add_joiners(host, members, policy)?;
    users.refuse_what_could_not_come_back(host, swapped, real)?;
    let joined = joiners(&host.containers, &users.of_unit);
    let joined = joined.iter().map(|container| container.id.clone());
    users.of_unit.extend(joined.collect::<Vec<_>>());
    let levels = unit.map_or(&[][..], |unit| &unit.levels);
    users.put_in_order(host, members, levels);
    Ok(users)
}

impl Users {
    fn add_member(
        &mut self,
        unit: Option<&Unit>,
        container: &Container,
        used: &[(Use, &SourceKey)],
        policy: Policy,
    ) -> Result<()> {
        if container.state == ContainerState::Paused {
            if !used.is_empty() {
                return Err(paused(container, used).into());
            }
            self.warnings.push(format!(
                "container `{}` is paused and is left so",
                container.name
            ));
        }
        if !container.state.is_up() || self.is_own(container) {
            return Ok(());
        }
        if let Some(reason) = unit.and_then(|unit| unit.not_coverable.as_deref()) {
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!("container `{}` cannot be stopped: {reason}", container.name),
            )
            .hint("scale it down where it is managed, then run this again")
            .into());
        }
        if container.auto_remove {
            if !used.is_empty() {
                return Err(deleted_by_a_stop(container, used).into());
            }
            self.warnings.push(format!(
                "container `{}` keeps running: a stop would delete it (`--rm`)",
                container.name
            ));
            return Ok(());
        }
        self.add(container, policy);
        Ok(())
    }

    fn add_foreign(
        &mut self,
        host: &Discovery,
        container: &Container,
        used: &[(Use, &SourceKey)],
        policy: Policy,
    ) -> Result<()> {
        let Some(strongest) = used.iter().map(|(how, _)| *how).max() else {
            return Ok(());
        };
        if container.state == ContainerState::Paused && strongest == Use::Holds {
            return Err(paused(container, used).into());
        }
        if !container.state.is_up() || self.is_own(container) {
            return Ok(());
        }
        let is_orchestrated = host.is_orchestrated(&container.id);
        if strongest == Use::Above && (policy.shared == SharedVolumes::Warn || is_orchestrated) {
            self.warnings.push(format!(
                "container `{}` keeps running: it can write to the directory of {}",
                container.name,
                keys(used)
            ));
            self.tolerated.push(container.id.clone());
            return Ok(());
        }
        if is_orchestrated {
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!(
                    "container `{}` uses {} and cannot be stopped: its orchestrator would replace it at once",
                    container.name,
                    keys(used)
                ),
            )
            .hint("scale it down where it is managed, then run this again")
            .into());
        }
        if container.auto_remove {
            return Err(deleted_by_a_stop(container, used).into());
        }
        self.warnings.push(format!(
            "container `{}`, which is not of this unit, uses {} and is stopped too",
            container.name,
            keys(used)
        ));
        self.add(container, policy);
        Ok(())
    }

    /// Those of other units that live in the network (or another namespace) of one that is stopped: it dies with it.
    fn add_joiners(
        &mut self,
        host: &Discovery,
        members: &[Container],
        policy: Policy,
    ) -> Result<()> {
        let stopped: BTreeSet<String> = self.entries.iter().map(|entry| entry.id.clone()).collect();
        for container in joiners(&host.containers, &stopped) {
            let is_member = members.iter().any(|member| member.id == container.id);
            if is_member || self.is_own(container) {
                continue;
            }
            let name = &container.name;
            if container.auto_remove || host.is_orchestrated(&container.id) {
                return Err(Failure::new(
                    Exit::UnitsFailed,
                    format!("container `{name}` lives in the network of one that is stopped for this, and cannot be stopped with it"),
                )
                .hint(format!("`docker stop {name}` yourself, then run this again"))
                .note("nothing was changed")
                .into());
            }
            self.warnings.push(format!(
                "container `{name}`, which is not of this unit, lives in the network (or another namespace) of one that is stopped, and is stopped too"
            ));
            self.add(container, policy);
        }
        Ok(())
    }

    /// A container is stopped only if Docker can start it again afterwards. What is restored is there by then.
    fn refuse_what_could_not_come_back(
        &self,
        host: &Discovery,
        swapped: &[Place],
        real: &BTreeMap<PathBuf, PathBuf>,
    ) -> Result<()> {
        let is_restored = |path: &Path| {
            let path = real.get(path).map_or(path, PathBuf::as_path);
            swapped.iter().any(|swapped| is_in(path, &swapped.path))
        };
        for container in self
            .entries
            .iter()
            .filter_map(|entry| host.container(&entry.id))
        {
            let Some(NoWayBack { why, remedy }) = no_way_back(container, is_restored) else {
                continue;
            };
            let name = &container.name;
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!("container `{name}` would be stopped, and Docker could not start it again: {why}"),
            )
            .hint(format!("{remedy}; or `docker stop {name}` yourself. Then run this again"))
            .note("nothing was changed")
            .into());
        }
        Ok(())
    }

    /// The level of an entry is known when all are.
    fn add(&mut self, container: &Container, policy: Policy) {
        self.entries
            .push(Entry::new(container, 0, policy.stop_timeout_seconds));
    }

    fn put_in_order(&mut self, host: &Discovery, members: &[Container], known: &[Vec<String>]) {
        let foreign: Vec<Container> = self
            .entries
            .iter()
            .filter(|entry| !members.iter().any(|member| member.id == entry.id))
            .filter_map(|entry| host.container(&entry.id).cloned())
            .collect();
        let levels = order(members, known, &foreign);
        for entry in &mut self.entries {
            entry.level = levels.get(&entry.id).copied().unwrap_or(0);
        }
    }

    /// The one that this program runs in is never stopped.
    fn is_own(&mut self, container: &Container) -> bool {
        let is_own = container.standing.role == Some(Role::Own);
        if is_own {
            self.warnings.push(format!(
                "container `{}` keeps running: kopi-docka runs in it",
                container.name
            ));
            self.tolerated.push(container.id.clone());
        }
        is_own
    }
}

/// What of `swapped` the container has mounted, and how.
fn used_by<'a>(
    host: &Discovery,
    container: &Container,
    swapped: &'a [Place],
    real: &BTreeMap<PathBuf, PathBuf>,
) -> Vec<(Use, &'a SourceKey)> {
    swapped
        .iter()
        .filter_map(|swapped| {
            let direct = container
                .mounts
                .iter()
                .filter_map(|mount| {
                    let is_volume = mounts_volume(mount, &swapped.key);
                    let path = real.get(&mount.source).unwrap_or(&mount.source);
                    if is_volume || is_in(path, &swapped.path) {
                        Some(Use::Holds)
                    } else if mount.read_write && is_in(&swapped.path, path) {
                        Some(Use::Above)
                    } else {
                        None
                    }
                })
                .max();
            // Discovery also knows what volumes with options are a name for.
            let indirect =
                || is_known_writer(host, &container.id, &swapped.path).then_some(Use::Holds);
            Some((direct.or_else(indirect)?, &swapped.key))
        })
        .collect()
}

fn is_in(inner: &Path, outer: &Path) -> bool {
    inner.is_absolute() && outer.is_absolute() && inner.starts_with(outer)
}

fn is_known_writer(host: &Discovery, id: &str, path: &Path) -> bool {
    host.units
        .iter()
        .flat_map(|unit| &unit.sources)
        .any(|source| source.path == path && source.writers.iter().any(|writer| writer == id))
}

fn paused(container: &Container, used: &[(Use, &SourceKey)]) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "container `{}` is paused and has {} in use",
            container.name,
            keys(used)
        ),
    )
    .hint(format!(
        "`docker unpause {0}` or `docker stop {0}`, then run this again",
        container.name
    ))
    .note("nothing was changed")
}

fn deleted_by_a_stop(container: &Container, used: &[(Use, &SourceKey)]) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "container `{}` uses {} and a stop would delete it (`--rm`)",
            container.name,
            keys(used)
        ),
    )
    .hint(format!(
        "`docker stop {}` yourself, then run this again",
        container.name
    ))
    .note("nothing was changed")
}

fn keys(used: &[(Use, &SourceKey)]) -> String {
    used.iter()
        .map(|(_, key)| key.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
