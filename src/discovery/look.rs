//! A look at the host that stays right while a run works through its units, which may take hours, without being made again for each.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Discovery;
use super::host::Host;
use super::rules::Rules;
use super::scene::{self, Scene};
use crate::docker::{Changes, Engine, Follower, Inventory};
use crate::error::Result;
use crate::model::UnitName;

/// What is on the host, and what has been heard of it since.
pub struct Look {
    /// Right for the unit that was last asked for; for others as right as the last change that concerned one.
    pub discovery: Discovery,
    inventory: Inventory,
    host: Host,
    follower: Follower,
    /// Containers that changed their state and that have not been asked again yet.
    changed: BTreeSet<String>,
}

/// Everything once.
pub async fn look(engine: &Engine, rules: &Rules) -> Result<(Inventory, Host)> {
    let inventory = engine.inventory().await?;
    let host = Host::look(scene::paths_of_interest(&inventory, rules)).await;
    Ok((inventory, host))
}

impl Look {
    pub async fn at(engine: &Engine, rules: &Rules) -> Result<Self> {
        // First, so that nothing falls between the two.
        let follower = engine.follow();
        let (inventory, host) = look(engine, rules).await?;
        Ok(Self {
            discovery: Discovery::of(&Scene::new(&inventory, &host, rules)),
            inventory,
            host,
            follower,
            changed: BTreeSet::new(),
        })
    }

    /// Brings `discovery` up to date as far as `unit` is concerned.
    pub async fn refresh(&mut self, engine: &Engine, rules: &Rules, unit: &UnitName) -> Result<()> {
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
                if is_other || self.is_concerned(unit) {
                    let containers = std::mem::take(&mut self.changed);
                    let changes = Changes::Known {
                        containers,
                        volumes,
                    };
                    return self.again(engine, rules, changes).await;
                }
            }
        }
        // What is mounted and where compose files are may have changed without a word from Docker.
        let paths = self.paths_of(unit);
        let now = Host::look(paths.clone()).await;
        if paths.iter().any(|path| !self.host.is_alike(&now, path)) {
            let changes = Changes::Known {
                containers: BTreeSet::new(),
                volumes: false,
            };
            return self.again(engine, rules, changes).await;
        }
        Ok(())
    }

    async fn again(&mut self, engine: &Engine, rules: &Rules, changes: Changes) -> Result<()> {
        engine.update(&mut self.inventory, changes).await?;
        self.changed.clear();
        self.host = Host::look(scene::paths_of_interest(&self.inventory, rules)).await;
        self.discovery = Discovery::of(&Scene::new(&self.inventory, &self.host, rules));
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
        let containers = &self.inventory.containers;
        let modes = |raw: &crate::docker::ContainerInspectResponse| -> Vec<String> {
            let Some(host) = &raw.host_config else {
                return Vec::new();
            };
            let modes = [&host.network_mode, &host.ipc_mode, &host.pid_mode];
            let modes = modes.into_iter().flatten();
            modes
                .filter_map(|mode| mode.strip_prefix("container:").map(str::to_owned))
                .collect()
        };
        let name = self
            .discovery
            .container(id)
            .map(|container| container.name.as_str());
        containers.iter().any(|raw| {
            let modes = modes(raw);
            (raw.id.as_deref() == Some(id) && !modes.is_empty())
                || modes
                    .iter()
                    .any(|mode| mode == id || Some(mode.trim_start_matches('/')) == name)
        })
    }

    fn paths_of(&self, name: &UnitName) -> BTreeSet<PathBuf> {
        let unit = self.discovery.units.iter().find(|unit| unit.name == *name);
        unit.map(|unit| scene::paths_of(&unit.containers, &self.inventory))
            .unwrap_or_default()
    }
}
