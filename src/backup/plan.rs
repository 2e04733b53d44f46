//! What a run would do to a unit, decided before anything is touched.

use std::collections::BTreeMap;

use serde::Serialize;

use super::memory::Past;
use super::survey::Reading;
use crate::config::SharedVolumes;
use crate::discovery::{Discovery, Size};
use crate::model::source::{Gap, GapReason};
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
    /// Writers that go on, with the reason: their sources can't be cold.
    pub tolerated: Vec<Tolerated>,
    /// What is known before the window to make a source less than cold: sentences by source.
    pub doubts: BTreeMap<SourceKey, Vec<String>>,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
    /// Why this unit can't be backed up at all.
    pub refusal: Option<String>,
    /// What the last whole point held.
    pub past: Past,
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
        refusal: unit.not_coverable.clone().or_else(|| unit.blocker.clone()),
        past: Past::default(),
        unit,
    };
    // Without data there is nothing to stop for: the recipe is saved while everything runs.
    if plan.refusal.is_some() || plan.unit.sources.is_empty() {
        return plan;
    }
    for container in plan.unit.containers.clone() {
        plan.add_member(&container, stop_timeout_seconds);
    }
    plan.add_foreign_writers(host, shared, stop_timeout_seconds);
    plan
}

impl UnitPlan {
    fn add_member(&mut self, container: &Container, stop_timeout_seconds: i64) {
        let writes_to = self.written_by(container);
        match container.state {
            ContainerState::Paused => {
                let sentence = format!(
                    "container `{}` was paused: what it had in memory isn't there",
                    container.name
                );
                self.doubt(&writes_to, &sentence);
                self.warnings.push(format!(
                    "container `{}` is paused and was left so",
                    container.name
                ));
            }
            state if !state.is_up() => {}
            _ if container.auto_remove && writes_to.is_empty() => self.gaps.push(Gap {
                what: format!("container `{}`", container.name),
                reason: GapReason::AutoRemove,
                detail: "a stop would delete it (`--rm`), so it goes on running".to_owned(),
                is_loss: false,
            }),
            _ if container.auto_remove => {
                self.refusal = Some(auto_remove_refusal(container, &writes_to));
            }
            _ => self.add_entry(container, self.level_of(container), stop_timeout_seconds),
        }
    }

    fn add_foreign_writers(
        &mut self,
        host: &Discovery,
        shared: SharedVolumes,
        stop_timeout_seconds: i64,
    ) {
        // Stopped before ours and started after them: whoever shares our data is no dependency of ours.
        let level = self.unit.levels.len();
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
                    "container `{}` was paused: what it had in memory isn't there",
                    container.name
                );
                self.doubt(&writes_to, &sentence);
            }
            if !container.state.is_up() {
                continue;
            }
            if shared == SharedVolumes::Warn {
                self.tolerate(container, "`backup.shared_volumes` is `warn`");
            } else if host.is_orchestrated(&id) {
                self.tolerate(container, "its orchestrator would replace it at once");
            } else if container.auto_remove {
                self.refusal = Some(auto_remove_refusal(container, &writes_to));
            } else {
                self.warnings.push(format!(
                    "container `{}` of another unit writes to {} and is stopped too",
                    container.name,
                    join(&writes_to)
                ));
                self.add_entry(container, level, stop_timeout_seconds);
            }
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

    fn level_of(&self, container: &Container) -> usize {
        self.unit
            .levels
            .iter()
            .position(|level| level.contains(&container.id))
            .unwrap_or(0)
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
