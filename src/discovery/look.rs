//! A look at the host that stays right while a run works through its units, which may take hours, without being made again for each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::comeback::{self, Mounted};
use super::depends;
use super::host::Host;
use super::labels;
use super::roles::{self, Roles};
use super::rules::Rules;
use super::scene::{self, Scene};
use super::{Discovery, group};
use crate::drivers::docker::{Changes, ContainerInspectResponse, Engine, Follower, Inventory};
use crate::error::Result;
use crate::model::UnitName;

/// What a look at the engine and the host has found.
pub struct Seen {
    inventory: Inventory,
    host: Host,
    roles: Roles,
    inside: Mounted,
    sharing: BTreeSet<String>,
}

impl Seen {
    pub async fn look(engine: &Engine, rules: &Rules) -> Result<Self> {
        Ok(Self::around(engine.inventory().await?, rules).await)
    }

    async fn around(mut inventory: Inventory, rules: &Rules) -> Self {
        leave_drills(&mut inventory);
        Self {
            host: Host::look(scene::paths_of_interest(&inventory, rules)).await,
            roles: roles::find(&inventory, rules).await,
            inside: comeback::mounted(inventory.containers.iter()).await,
            sharing: sharing(&inventory.containers),
            inventory,
        }
    }

    /// What is decided on it.
    pub fn discovery(&self, rules: &Rules) -> Discovery {
        let mut scene = Scene::new(&self.inventory, &self.host, rules);
        roles::mark(&mut scene, &self.roles);
        comeback::mark(&mut scene, &self.inside);
        Discovery {
            units: group::group(&scene),
            orphan_volumes: group::orphans(&scene),
            containers: scene.containers,
            ids: self.inventory.ids.clone(),
        }
    }
}

/// What is on the host, and what has been heard of it since.
pub struct Look {
    /// Right for the unit that was last asked for; for others as right as the last change that concerned one.
    pub discovery: Discovery,
    seen: Seen,
    follower: Follower,
    /// Containers that changed their state and that have not been asked again yet.
    changed: BTreeSet<String>,
    /// What was seen is no longer known to be right.
    is_lost: bool,
    /// The time that all looking has taken.
    pub took: Duration,
}

impl Look {
    pub async fn at(engine: &Engine, rules: &Rules) -> Result<Self> {
        // First, so that nothing falls between the two.
        let (follower, since) = (engine.follow(), Instant::now());
        let seen = Seen::look(engine, rules).await?;
        Ok(Self {
            discovery: seen.discovery(rules),
            seen,
            follower,
            changed: BTreeSet::new(),
            is_lost: false,
            took: since.elapsed(),
        })
    }

    /// Brings `discovery` up to date as far as `unit` is concerned.
    pub async fn refresh(&mut self, engine: &Engine, rules: &Rules, unit: &UnitName) -> Result<()> {
        let since = Instant::now();
        let looked = self.follow_up(engine, rules, unit).await;
        self.took += since.elapsed();
        looked
    }

    async fn follow_up(&mut self, engine: &Engine, rules: &Rules, unit: &UnitName) -> Result<()> {
        match self.follower.changes() {
            Changes::Unknown => {
                // In this order: see `at`.
                self.follower = engine.follow();
                return self.again(engine, rules, Changes::Unknown).await;
            }
            Changes::Known {
                containers,
                volumes,
            } => {
                let is_new = |id: &String| self.discovery.container(id).is_none();
                let is_other = volumes || containers.iter().any(is_new);
                self.changed.extend(containers);
                if is_other || self.is_lost || self.is_concerned(unit) {
                    let containers = std::mem::take(&mut self.changed);
                    let changes = Changes::Known {
                        containers,
                        volumes,
                    };
                    return self.again(engine, rules, changes).await;
                }
            }
        }
        if self.is_as_before(unit).await {
            return Ok(());
        }
        let changes = Changes::Known {
            containers: BTreeSet::new(),
            volumes: false,
        };
        self.again(engine, rules, changes).await
    }

    /// What is mounted, and where compose files are, may have changed without a word from Docker.
    async fn is_as_before(&mut self, name: &UnitName) -> bool {
        let Some(unit) = self.discovery.units.iter().find(|unit| unit.name == *name) else {
            return false;
        };
        let paths = scene::paths_of(&unit.containers, &self.seen.inventory);
        if !self.seen.host.is_as_before(&paths).await {
            return false;
        }
        let is_member = |raw: &&ContainerInspectResponse| {
            let id = raw.id.as_deref();
            unit.containers.iter().any(|member| Some(&*member.id) == id)
        };
        let members = self.seen.inventory.containers.iter().filter(is_member);
        let inside = comeback::mounted(members).await;
        inside
            .iter()
            .all(|(id, table)| self.seen.inside.get(id) == Some(table))
    }

    async fn again(&mut self, engine: &Engine, rules: &Rules, changes: Changes) -> Result<()> {
        // Until this has come to its end nothing that was heard before counts.
        let was_lost = std::mem::replace(&mut self.is_lost, true);
        let changes = if was_lost { Changes::Unknown } else { changes };
        let mut inventory = std::mem::take(&mut self.seen.inventory);
        engine.update(&mut inventory, changes).await?;
        self.is_lost = false;
        self.changed.clear();
        self.seen = Seen::around(inventory, rules).await;
        self.discovery = self.seen.discovery(rules);
        Ok(())
    }

    /// Whether one that changed is of the unit, can write to its data, or shares a namespace with another one.
    fn is_concerned(&self, name: &UnitName) -> bool {
        let Some(unit) = self.discovery.units.iter().find(|unit| unit.name == *name) else {
            return true;
        };
        let members = unit.containers.iter().map(|member| member.id.as_str());
        let writers = unit.sources.iter().flat_map(|source| &source.writers);
        let mut known = members.chain(writers.map(String::as_str));
        known.any(|id| self.changed.contains(id))
            || self.changed.iter().any(|id| self.is_shared(id))
    }

    fn is_shared(&self, id: &str) -> bool {
        let sharing = &self.seen.sharing;
        let name = || Some(self.discovery.container(id)?.name.as_str());
        // Most hosts have none.
        !sharing.is_empty()
            && (sharing.contains(id) || name().is_some_and(|name| sharing.contains(name)))
    }
}

/// A copy that is tried out is nothing of this host: it goes again, and no unit is stopped for it.
fn leave_drills(inventory: &mut Inventory) {
    let mut mounted = BTreeSet::new();
    inventory.containers.retain(|container| {
        let labels = container.config.as_ref().and_then(|it| it.labels.as_ref());
        let is_drill = labels.is_some_and(|labels| labels.contains_key(labels::DRILL));
        if is_drill {
            let mounts = container.mounts.iter().flatten();
            mounted.extend(mounts.filter_map(|mount| mount.name.clone()));
        }
        !is_drill
    });
    // Those that an image asks for have no label.
    inventory.volumes.retain(|volume| {
        !volume.labels.contains_key(labels::DRILL) && !mounted.contains(&volume.name)
    });
}

/// The containers that live in the namespaces of others, by id, and those others as Docker names them, by id or name.
fn sharing(containers: &[ContainerInspectResponse]) -> BTreeSet<String> {
    let hosts_and_guest = |raw: &ContainerInspectResponse| {
        let hosts: Vec<String> = depends::namespaces(Some(raw))
            .map(|(host, _)| host.trim_start_matches('/').to_owned())
            .collect();
        let guest = raw.id.clone().filter(|_| !hosts.is_empty());
        hosts.into_iter().chain(guest)
    };
    containers.iter().flat_map(hosts_and_guest).collect()
}
