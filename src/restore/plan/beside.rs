//! What the other units that are restored in the same go bring with them, and what they have in common.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::point::SourceRecord;
use crate::model::{SourceKey, UnitName};
use crate::restore::plan::decision::Plan;

/// Empty where a unit is restored alone.
#[derive(Debug, Default)]
pub struct Beside {
    /// Names of containers that will be there.
    pub containers: BTreeSet<String>,
    /// By what several units have: the one that it is restored with.
    pub owners: BTreeMap<SourceKey, UnitName>,
}

impl Beside {
    /// Of volumes and binds that are in several points the newest state is taken; of one time that of the first name.
    pub fn share<'a>(&mut self, plans: impl Iterator<Item = &'a Plan>) {
        let mut all: BTreeMap<SourceKey, Vec<&Plan>> = BTreeMap::new();
        for plan in plans {
            for source in &plan.sources {
                all.entry(source.key.clone()).or_default().push(plan);
            }
        }
        self.owners = all
            .into_iter()
            .filter(|(_, plans)| plans.len() > 1)
            .filter_map(|(key, mut plans)| {
                plans.sort_by(|one, other| one.unit.cmp(&other.unit));
                plans.sort_by_key(|plan| std::cmp::Reverse(plan.point_time));
                Some((key, plans.first()?.unit.clone()))
            })
            .collect();
    }

    /// Whether `plan` has data that is restored with another unit.
    pub fn has_anothers(&self, plan: &Plan) -> bool {
        let owner = |key: &SourceKey| self.owners.get(key);
        let mut sources = plan.sources.iter();
        sources.any(|source| owner(&source.key).is_some_and(|owner| *owner != plan.unit))
    }

    /// Units that others share data with: theirs comes first.
    pub fn owners(&self) -> BTreeSet<&UnitName> {
        self.owners.values().collect()
    }

    /// Takes out of the sources of `unit` what is restored with another one; what has to be said of that.
    pub fn leave_out(&self, unit: &UnitName, sources: &mut Vec<SourceRecord>) -> Vec<String> {
        let mut said = Vec::new();
        sources.retain(|source| {
            let owner = self.owners.get(&source.key).filter(|owner| *owner != unit);
            said.extend(owner.map(|owner| {
                format!(
                    "{} is also in the point of `{owner}` and is restored with that",
                    source.key
                )
            }));
            owner.is_none()
        });
        said
    }
}
