//! What a run would do to a unit, decided before anything is touched.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::memory::Past;
use super::survey::Reading;
use crate::config::SharedVolumes;
use crate::discovery::{Discovery, NoWayBack, Size, joiners, labels, no_way_back, order};
use crate::model::source::{Gap, GapReason};
use crate::model::unit::Role;
use crate::model::{Container, ContainerState, SourceKey, Unit};
use crate::quiesce::Entry;

#[derive(Debug)]
pub struct UnitPlan {
    pub unit: Unit,
    /// What the sources held when they were measured; one that was not measured is missing.
    pub sizes: BTreeMap<SourceKey, Size>,
    pub reading: BTreeMap<SourceKey, Reading>,
    /// What is stopped, with its level.
    pub entries: Vec<Entry>,
    /// Writers that go on, with the reason: their sources cannot be cold.
    pub tolerated: Vec<Tolerated>,
    /// What is known before the window to make a source less than cold: sentences by source.
    pub doubts: BTreeMap<SourceKey, Vec<String>>,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
    /// What keeps the point from being as it should be, known before anything is touched.
    pub errors: Vec<String>,
    /// Ids of containers that only this program writes from.
    pub own: Vec<String>,
    /// Why this unit cannot be backed up at all.
    pub refusal: Option<String>,
    /// What the last whole point held.
    pub past: Past,
}

impl UnitPlan {
    /// How the source is read.
    pub fn reading_of(&self, source: &SourceKey) -> Reading {
        self.reading.get(source).cloned().unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tolerated {
    pub id: String,
    pub name: String,
    pub reason: String,
}

/// Plans `unit`; `stop_timeout_seconds` is the configured one for it.
pub fn plan(
    unit: Unit,
    host: &Discovery,
    shared: SharedVolumes,
    stop_timeout_seconds: i64,
    sizes: BTreeMap<SourceKey, Size>,
) -> UnitPlan {
    let mut plan = UnitPlan {
        sizes,
        reading: BTreeMap::new(),
        entries: Vec::new(),
        tolerated: Vec::new(),
        doubts: BTreeMap::new(),
        gaps: unit.gaps.clone(),
        warnings: unit.warnings.clone(),
        errors: Vec::new(),
        own: Vec::new(),
        refusal: unit.not_coverable.clone().or_else(|| unit.blocker.clone()),
        past: Past::default(),
        unit,
    };
    // Without data there is nothing to stop for: the recipe is saved while everything runs.
    if plan.refusal.is_some() || plan.unit.sources.is_empty() {
        return plan;
    }
    if plan.leave_to_one_off(host) {
        return plan;
    }
    let mut stops = Stops::default();
    for container in plan.unit.containers.clone() {
        plan.add_member(&container, &mut stops);
    }
    plan.add_foreign_writers(host, shared, &mut stops);
    plan.add_those_that_cannot_stay(host, &mut stops);
    plan.add_joiners(host, &mut stops);
    let levels = order(&plan.unit.containers, &plan.unit.levels, &stops.foreign);
    for container in stops.members.iter().chain(&stops.foreign) {
        let level = levels.get(&container.id).copied().unwrap_or(0);
        plan.add_entry(container, level, stop_timeout_seconds);
    }
    plan
}

/// Who is stopped.
#[derive(Default)]
struct Stops {
    members: Vec<Container>,
    /// Of other units.
    foreign: Vec<Container>,
    /// Members that want to run on, and write to nothing that is read.
    staying: Vec<Container>,
}

impl Stops {
    fn ids(&self) -> BTreeSet<String> {
        let all = self.members.iter().chain(&self.foreign);
        all.map(|container| container.id.clone()).collect()
    }
}

impl UnitPlan {
    /// Whose writing the proof of cold does not mind.
    pub fn tolerated_ids(&self) -> Vec<String> {
        let tolerated = self.tolerated.iter().map(|container| container.id.clone());
        tolerated.chain(self.own.iter().cloned()).collect()
    }

    fn add_member(&mut self, container: &Container, stops: &mut Stops) {
        let writes_to = self.written_by(container);
        match container.state {
            ContainerState::Paused => {
                let sentence = format!(
                    "container `{}` was paused: what it had in memory is not there",
                    container.name
                );
                self.doubt(&writes_to, &sentence);
                self.warnings.push(format!(
                    "container `{}` is paused and was left so",
                    container.name
                ));
            }
            state if !state.is_up() => {}
            _ if self.must_go_on(container) => {}
            _ if container.auto_remove && writes_to.is_empty() => self.gaps.push(Gap {
                what: format!("container `{}`", container.name),
                reason: GapReason::AutoRemove,
                detail: "a stop would delete it (`--rm`), so it keeps running".to_owned(),
                is_loss: false,
            }),
            _ if container.auto_remove => {
                self.refusal = Some(auto_remove_refusal(container, &writes_to));
            }
            _ if self.may_stay(container, &writes_to) => stops.staying.push(container.clone()),
            _ => {
                self.doubt_restarting(container, &writes_to);
                stops.members.push(container.clone());
            }
        }
    }

    /// Whether `container` wants to run on, and could not write to what is read.
    fn may_stay(&mut self, container: &Container, writes_to: &[SourceKey]) -> bool {
        if !labels::wants_to_stay(&container.labels) {
            return false;
        }
        let why = why_not(container, writes_to);
        if let Some(why) = &why {
            self.stop_anyway(container, why);
        }
        why.is_none()
    }

    fn stop_anyway(&mut self, container: &Container, why: &str) {
        self.warnings.push(format!(
            "container `{}` has the label `{}=false`, and is stopped all the same: {why}",
            container.name,
            labels::STOP
        ));
    }

    /// Of those that want to run on: who shares a namespace with one that is stopped.
    fn add_those_that_cannot_stay(&mut self, host: &Discovery, stops: &mut Stops) {
        loop {
            let stopped = stops.ids();
            let joined = joiners(&host.containers, &stopped);
            let joined: BTreeSet<&String> = joined.iter().map(|container| &container.id).collect();
            let of_stopped = stops.members.iter().chain(&stops.foreign);
            let lived_in: BTreeSet<&String> = of_stopped
                .flat_map(|container| &container.standing.lives_in)
                .collect();
            let shares = |container: &Container| {
                joined.contains(&container.id) || lived_in.contains(&container.id)
            };
            let Some(at) = stops.staying.iter().position(shares) else {
                return;
            };
            let container = stops.staying.remove(at);
            self.stop_anyway(
                &container,
                "it shares a network, or another namespace, with one that is stopped",
            );
            stops.members.push(container);
        }
    }

    /// Whether `container` is left running whatever is read: a backup needs it, or it could not come back.
    fn must_go_on(&mut self, container: &Container) -> bool {
        let name = &container.name;
        match container.standing.role {
            Some(Role::Own) => {
                self.warnings.push(format!(
                    "container `{name}` keeps running: kopi-docka runs in it"
                ));
                self.own.push(container.id.clone());
                return true;
            }
            Some(Role::Repository) => {
                self.warnings.push(format!(
                    "container `{name}` keeps running: it serves the backup repository. A backup stored on the host it belongs to is lost with that host"
                ));
                self.tolerate(container, "it serves the backup repository");
                return true;
            }
            None => {}
        }
        let Some(NoWayBack { why, remedy }) = no_way_back(container, |_| false) else {
            return false;
        };
        self.errors.push(format!(
            "container `{name}` was left running, since Docker could not start it again: {why}: {remedy}"
        ));
        self.tolerate(container, "Docker could not start it again");
        true
    }

    /// A crash loop has no clean end.
    fn doubt_restarting(&mut self, container: &Container, writes_to: &[SourceKey]) {
        if container.state == ContainerState::Restarting {
            let sentence = format!(
                "container `{}` was restarting when it was stopped",
                container.name
            );
            self.doubt(writes_to, &sentence);
        }
    }

    /// `docker compose run`: started again it would begin anew (an import, a migration), and without the rest of the unit it would fail.
    /// So while one writes nothing is stopped.
    fn leave_to_one_off(&mut self, host: &Discovery) -> bool {
        let is_at_work = |container: &&Container| {
            let project = &container.project;
            let members = &self.unit.containers;
            labels::is_one_off(&container.labels)
                && container.state.is_up()
                && (members.is_empty() || members.iter().any(|member| member.project == *project))
                && !self.written_by(container).is_empty()
        };
        let Some(one_off) = host.containers.iter().find(is_at_work) else {
            return false;
        };
        let name = &one_off.name;
        self.errors.push(format!(
            "nothing was stopped: container `{name}` (`docker compose run`) is at work and can write to {}. Run the backup again when it has ended",
            join(&self.written_by(one_off))
        ));
        let reason = format!("container `{name}` (`docker compose run`) is at work");
        for container in host
            .containers
            .iter()
            .filter(|container| container.state.is_up())
        {
            if !self.written_by(container).is_empty() {
                self.tolerate(container, &reason);
            }
        }
        true
    }

    fn add_foreign_writers(&mut self, host: &Discovery, shared: SharedVolumes, stops: &mut Stops) {
        let mut ids: Vec<&String> = self
            .unit
            .sources
            .iter()
            .flat_map(|source| &source.writers)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let ids: Vec<String> = ids.into_iter().cloned().collect();
        for id in ids {
            if self.unit.containers.iter().any(|member| member.id == id) {
                continue;
            }
            let Some(container) = host.container(&id) else {
                continue;
            };
            let writes_to = self.written_by(container);
            if container.state == ContainerState::Paused {
                let sentence = format!(
                    "container `{}` was paused: what it had in memory is not there",
                    container.name
                );
                self.doubt(&writes_to, &sentence);
            }
            if !container.state.is_up() || self.must_go_on(container) {
                continue;
            }
            if shared == SharedVolumes::Warn {
                self.tolerate(container, "`backup.shared_volumes` is `warn`");
            } else if host.is_orchestrated(&id) {
                self.tolerate(container, "its orchestrator would replace it at once");
            } else if labels::is_one_off(&container.labels) {
                self.errors.push(format!(
                    "container `{}` (`docker compose run`) is at work and can write to {}. Run the backup again when it has ended",
                    container.name,
                    join(&writes_to)
                ));
                self.tolerate(container, "it would start over (`docker compose run`)");
            } else if container.auto_remove {
                self.refusal = Some(auto_remove_refusal(container, &writes_to));
            } else {
                self.warnings.push(format!(
                    "container `{}` of another unit writes to {} and is stopped too",
                    container.name,
                    join(&writes_to)
                ));
                self.doubt_restarting(container, &writes_to);
                stops.foreign.push(with_its_needs(host, container));
            }
        }
    }

    /// Containers of other units that live in the network (or another namespace) of one that is stopped.
    fn add_joiners(&mut self, host: &Discovery, stops: &mut Stops) {
        let stopped = stops.ids();
        for container in joiners(&host.containers, &stopped) {
            let name = &container.name;
            let is_member = self
                .unit
                .containers
                .iter()
                .any(|member| member.id == container.id);
            if is_member
                || self.tolerated.iter().any(|known| known.id == container.id)
                || self.must_go_on(container)
            {
                continue;
            }
            let why_not = if container.auto_remove {
                Some("a stop would delete it (`--rm`)")
            } else if host.is_orchestrated(&container.id) {
                Some("its orchestrator would replace it at once")
            } else if labels::is_one_off(&container.labels) {
                Some("it would start over (`docker compose run`)")
            } else {
                None
            };
            if let Some(why_not) = why_not {
                self.errors.push(format!(
                    "container `{name}` lives in the network of one that is stopped, and cannot be stopped with it: {why_not}. Create it again"
                ));
                continue;
            }
            self.warnings.push(format!(
                "container `{name}` of another unit lives in the network (or another namespace) of one that is stopped, and is stopped too"
            ));
            stops.foreign.push(with_its_needs(host, container));
        }
    }

    fn add_entry(&mut self, container: &Container, level: usize, stop_timeout_seconds: i64) {
        if container.stop_timeout_seconds.is_some_and(|own| own < 0) {
            self.warnings.push(format!(
                "container `{}` wants to be waited for without end; it gets an hour",
                container.name
            ));
        }
        self.entries
            .push(Entry::new(container, level, stop_timeout_seconds));
    }

    fn tolerate(&mut self, container: &Container, reason: &str) {
        self.tolerated.push(Tolerated {
            id: container.id.clone(),
            name: container.name.clone(),
            reason: reason.to_owned(),
        });
    }

    fn doubt(&mut self, sources: &[SourceKey], sentence: &str) {
        for key in sources {
            self.doubts
                .entry(key.clone())
                .or_default()
                .push(sentence.to_owned());
        }
    }

    fn written_by(&self, container: &Container) -> Vec<SourceKey> {
        self.unit
            .sources
            .iter()
            .filter(|source| source.writers.contains(&container.id))
            .map(|source| source.key.clone())
            .collect()
    }
}

/// Why one that wants to run on could write to what is read.
fn why_not(container: &Container, writes_to: &[SourceKey]) -> Option<String> {
    if !writes_to.is_empty() {
        return Some(format!("it can write to {}", join(writes_to)));
    }
    let all = "it is privileged, and can write to everything";
    container.standing.is_privileged.then(|| all.to_owned())
}

/// As its own unit knows it, with what it depends on.
fn with_its_needs(host: &Discovery, container: &Container) -> Container {
    let units = host.units.iter();
    units
        .flat_map(|unit| &unit.containers)
        .find(|known| known.id == container.id)
        .unwrap_or(container)
        .clone()
}

fn auto_remove_refusal(container: &Container, writes_to: &[SourceKey]) -> String {
    format!(
        "container `{}` can write to {} and a stop would delete it (`--rm`)",
        container.name,
        join(writes_to)
    )
}

fn join(keys: &[SourceKey]) -> String {
    keys.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::testing::labelled;

    #[test]
    fn who_can_write_does_not_run_on() {
        let mut container = labelled("proxy", &[("kopi-docka.stop", "false")]);
        assert!(labels::wants_to_stay(&container.labels));
        assert_eq!(why_not(&container, &[]), None);
        let data = SourceKey::Volume {
            name: "data".to_owned(),
        };
        assert!(why_not(&container, &[data]).unwrap().contains("`data`"));
        container.standing.is_privileged = true;
        assert!(why_not(&container, &[]).unwrap().contains("privileged"));
    }
}
