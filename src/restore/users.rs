//! Whom a swap would pull the data away from: they are stopped, or the restore is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::SharedVolumes;
use crate::discovery::Discovery;
use crate::error::{Exit, Failure, Result};
use crate::model::unit::MountKind;
use crate::model::{Container, ContainerState, SourceKey, Unit};
use crate::quiesce::Entry;

/// Something that will be swapped, as containers know it.
#[derive(Clone, Debug)]
pub struct Swapped {
    pub key: SourceKey,
    /// Links resolved.
    pub path: PathBuf,
}

/// Who is stopped for it.
#[derive(Debug, Default)]
pub struct Users {
    pub entries: Vec<Entry>,
    /// Ids of those that could write to a target and go on all the same.
    pub tolerated: Vec<String>,
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    /// It has a folder above the target mounted and can write there: it finds the new content by itself.
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

/// `real` resolves the links of what containers have mounted; what isn't in it is as it is.
pub fn find(
    host: &Discovery,
    unit: Option<&Unit>,
    swapped: &[Swapped],
    real: &BTreeMap<PathBuf, PathBuf>,
    policy: Policy,
) -> Result<Users> {
    let mut users = Users::default();
    let members = unit.map_or(&[][..], |unit| &unit.containers);
    for container in members {
        let used = used_by(host, container, swapped, real);
        users.add_member(unit, container, &used, policy)?;
    }
    // Stopped before ours and started after them: whoever shares our data is no dependency of ours.
    let level = unit.map_or(0, |unit| unit.levels.len());
    for container in &host.containers {
        if members.iter().any(|member| member.id == container.id) {
            continue;
        }
        let used = used_by(host, container, swapped, real);
        users.add_foreign(host, container, &used, level, policy)?;
    }
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
        if !container.state.is_up() {
            return Ok(());
        }
        if let Some(reason) = unit.and_then(|unit| unit.not_coverable.as_deref()) {
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!("container `{}` can't be stopped: {reason}", container.name),
            )
            .hint("scale it down where it is managed, then run this again")
            .into());
        }
        if container.auto_remove {
            if !used.is_empty() {
                return Err(deleted_by_a_stop(container, used).into());
            }
            self.warnings.push(format!(
                "container `{}` goes on running: a stop would delete it (`--rm`)",
                container.name
            ));
            return Ok(());
        }
        let level = unit
            .and_then(|unit| {
                unit.levels
                    .iter()
                    .position(|level| level.contains(&container.id))
            })
            .unwrap_or(0);
        self.entries
            .push(Entry::new(container, level, policy.stop_timeout_seconds));
        Ok(())
    }

    fn add_foreign(
        &mut self,
        host: &Discovery,
        container: &Container,
        used: &[(Use, &SourceKey)],
        level: usize,
        policy: Policy,
    ) -> Result<()> {
        let Some(strongest) = used.iter().map(|(how, _)| *how).max() else {
            return Ok(());
        };
        if container.state == ContainerState::Paused && strongest == Use::Holds {
            return Err(paused(container, used).into());
        }
        if !container.state.is_up() {
            return Ok(());
        }
        let is_orchestrated = host.is_orchestrated(&container.id);
        if strongest == Use::Above && (policy.shared == SharedVolumes::Warn || is_orchestrated) {
            self.warnings.push(format!(
                "container `{}` goes on running: it can write to the folder of {}",
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
                    "container `{}` uses {} and can't be stopped: its orchestrator would replace it at once",
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
        self.entries
            .push(Entry::new(container, level, policy.stop_timeout_seconds));
        Ok(())
    }
}

/// What of `swapped` the container has mounted, and how.
fn used_by<'a>(
    host: &Discovery,
    container: &Container,
    swapped: &'a [Swapped],
    real: &BTreeMap<PathBuf, PathBuf>,
) -> Vec<(Use, &'a SourceKey)> {
    swapped
        .iter()
        .filter_map(|swapped| {
            let direct = container
                .mounts
                .iter()
                .filter_map(|mount| {
                    let is_volume = mount.kind == MountKind::Volume
                        && matches!(&swapped.key, SourceKey::Volume { name } if *name == mount.name);
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
            let indirect = || {
                is_known_writer(host, &container.id, &swapped.path).then_some(Use::Holds)
            };
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
    .note("nothing was touched")
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
    .note("nothing was touched")
}

fn keys(used: &[(Use, &SourceKey)]) -> String {
    used.iter()
        .map(|(_, key)| key.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;
    use crate::model::unit::Mount;
    use crate::model::{UnitKind, UnitName};

    const POLICY: Policy = Policy {
        shared: SharedVolumes::Stop,
        stop_timeout_seconds: 10,
    };

    fn container(name: &str, state: ContainerState, mounts: Vec<Mount>) -> Container {
        Container {
            id: name.to_owned(),
            name: name.to_owned(),
            image: String::new(),
            image_id: String::new(),
            state,
            project: None,
            service: None,
            number: None,
            auto_remove: false,
            stop_timeout_seconds: None,
            has_healthcheck: false,
            dependencies: Vec::new(),
            mounts,
            database: None,
            labels: Default::default(),
            started_at: String::new(),
        }
    }

    fn volume(name: &str) -> Mount {
        Mount {
            kind: MountKind::Volume,
            name: name.to_owned(),
            source: format!("/docker/volumes/{name}/_data").into(),
            destination: "/d".to_owned(),
            read_write: false,
        }
    }

    fn bind(path: &str, read_write: bool) -> Mount {
        Mount {
            kind: MountKind::Bind,
            name: String::new(),
            source: path.into(),
            destination: "/d".to_owned(),
            read_write,
        }
    }

    fn unit(containers: Vec<Container>) -> Unit {
        Unit {
            name: UnitName::parse("u").unwrap(),
            kind: UnitKind::Stack,
            levels: containers
                .iter()
                .map(|container| vec![container.id.clone()])
                .collect(),
            containers,
            sources: Vec::new(),
            networks: Vec::new(),
            compose: None,
            gaps: Vec::new(),
            not_coverable: None,
            blocker: None,
            enabled: true,
            warnings: Vec::new(),
        }
    }

    fn swapped() -> Vec<Swapped> {
        vec![
            Swapped {
                key: SourceKey::Volume {
                    name: "v".to_owned(),
                },
                path: "/docker/volumes/v/_data".into(),
            },
            Swapped {
                key: SourceKey::Bind {
                    path: "/srv/link".into(),
                },
                path: "/srv/real".into(),
            },
        ]
    }

    fn found(members: Vec<Container>, others: Vec<Container>, policy: Policy) -> Result<Users> {
        let unit = unit(members.clone());
        let host = Discovery {
            units: vec![unit.clone()],
            orphan_volumes: Vec::new(),
            containers: members.into_iter().chain(others).collect(),
        };
        let real = BTreeMap::from([(PathBuf::from("/srv/link"), PathBuf::from("/srv/real"))]);
        find(&host, Some(&unit), &swapped(), &real, policy)
    }

    fn names(users: &Users) -> Vec<&str> {
        users
            .entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect()
    }

    use ContainerState::{Exited, Paused, Running};

    #[test]
    fn all_that_runs_of_the_unit_and_all_that_would_be_left_with_the_old_content_is_stopped() {
        let users = found(
            vec![
                container("db", Running, vec![volume("v")]),
                container("web", Running, Vec::new()),
                container("job", Exited, vec![volume("v")]),
            ],
            vec![
                container("reader", Running, vec![volume("v")]),
                container("by-link", Running, vec![bind("/srv/link", false)]),
                container("deeper", Running, vec![bind("/srv/real/a", false)]),
                container("above", Running, vec![bind("/srv", true)]),
                container("exporter", Running, vec![bind("/", false)]),
                container("stopped", Exited, vec![volume("v")]),
                container(
                    "sibling",
                    Running,
                    vec![bind("/srv/realm", true), volume("vv")],
                ),
            ],
            POLICY,
        )
        .unwrap();
        assert_eq!(
            names(&users),
            ["db", "web", "reader", "by-link", "deeper", "above"]
        );
        assert_eq!(users.entries[1].level, 1);
        assert_eq!(users.entries[2].level, 3, "others are stopped first");
        assert_eq!(users.warnings.len(), 4);
    }

    #[test]
    fn a_writer_above_is_let_be_when_the_operator_wants_so_but_never_one_that_holds_the_old_content()
     {
        let warn = Policy {
            shared: SharedVolumes::Warn,
            ..POLICY
        };
        let users = found(
            Vec::new(),
            vec![
                container("above", Running, vec![bind("/srv", true)]),
                container("holder", Running, vec![bind("/srv/real", false)]),
            ],
            warn,
        )
        .unwrap();
        assert_eq!(names(&users), ["holder"]);
        assert_eq!(users.tolerated, ["above"]);
    }

    #[test]
    fn what_can_be_neither_stopped_nor_left_is_refused_with_a_remedy() {
        let mut removed = container("tmp", Running, vec![volume("v")]);
        removed.auto_remove = true;
        let paused = container("frozen", Paused, vec![volume("v")]);
        for (one, remedy) in [
            (removed, "docker stop tmp"),
            (paused, "docker unpause frozen"),
        ] {
            let member = found(vec![one.clone()], Vec::new(), POLICY).unwrap_err();
            let other = found(Vec::new(), vec![one], POLICY).unwrap_err();
            for error in [member, other] {
                let text = render(&error);
                assert!(
                    text.contains(remedy) && text.contains("nothing was touched"),
                    "{text}"
                );
            }
        }
        let mut bystander = container("tmp", Running, Vec::new());
        bystander.auto_remove = true;
        let users = found(vec![bystander], Vec::new(), POLICY).unwrap();
        assert_eq!((users.entries.len(), users.warnings.len()), (0, 1));
    }
}
