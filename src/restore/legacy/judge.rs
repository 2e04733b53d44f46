//! What one listing of all snapshots can tell of an old point. It names no list of what it should have: what its recipe
//! names and the point lacks comes out when a restore is planned.

use super::members::Members;
use crate::kopia::Manifest;
use crate::model::{Grade, ObjectId};
use crate::restore::points::{Point, PointState};

/// Fills in what depends on the snapshots of `point`.
pub fn judge(point: &mut Point, group: &[&Manifest]) {
    let members = Members::of(group);
    if let Some(first) = group.iter().filter_map(|one| one.started_at()).min() {
        // Its tags have local times without a zone, some have none.
        point.time = first;
    }
    let found = || members.sources.values().flatten();
    point.bytes = found()
        .filter_map(|manifest| Some(manifest.root_entry.as_ref()?.summ.size))
        .sum();
    point.recipe = members
        .recipe()
        .and_then(|recipe| ObjectId::parse(&recipe.root_entry.as_ref()?.obj).ok());
    point.problems = of_recipe(&members);
    let lost = members.sources.iter().filter(|(_, found)| found.is_none());
    point
        .problems
        .extend(lost.map(|(key, _)| format!("{key} was not saved whole")));
    point.state = if point.problems.is_empty() {
        PointState::Whole
    } else if point.recipe.is_some() || found().next().is_some() {
        PointState::Partial
    } else {
        PointState::Unfinished
    };
    if point.state != PointState::Unfinished {
        point.grade = Some(Grade::Unproven);
    }
}

/// What makes it less than whole beside sources that were not saved, one sentence each.
pub fn of_recipe(members: &Members) -> Vec<String> {
    let mut problems = Vec::new();
    match members.recipe {
        Some(Some(_)) => {}
        Some(None) => problems.push("its recipe was not saved whole".to_owned()),
        None if members.is_minimal() => problems
            .push("it has data alone, no recipe: it was made with the scope `minimal`".to_owned()),
        None => problems.push("it has no recipe".to_owned()),
    }
    if matches!(members.networks, Some(None)) {
        problems.push("its networks were not saved whole".to_owned());
    }
    if members.nameless > 0 {
        problems.push(format!(
            "{} of its snapshots do not say what they are of",
            members.nameless
        ));
    }
    problems
}
