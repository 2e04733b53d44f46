//! In which order containers of several units are stopped and started.

use std::collections::{BTreeMap, BTreeSet};

use super::levels::levels;
use crate::model::Container;
use crate::model::unit::{Condition, Dependency};

/// Those of `containers` that live in a namespace of one of `stopped`, directly or not: their network dies with it, so they are stopped
/// before it and started after it.
pub fn joiners<'a>(containers: &'a [Container], stopped: &BTreeSet<String>) -> Vec<&'a Container> {
    let mut reached = stopped.clone();
    let mut found: Vec<&Container> = Vec::new();
    loop {
        let new: Vec<&Container> = containers
            .iter()
            .filter(|container| {
                container.state.is_up()
                    && !reached.contains(&container.id)
                    && container
                        .standing
                        .lives_in
                        .iter()
                        .any(|id| reached.contains(id))
            })
            .collect();
        if new.is_empty() {
            return found;
        }
        reached.extend(new.iter().map(|container| container.id.clone()));
        found.extend(new);
    }
}

/// The level of each of `members` and `foreign`, by id: started from 0 up, stopped from the highest down. A foreign one is above all
/// members, unless a member needs it. `known` are the levels of the members among themselves.
pub fn order(
    members: &[Container],
    known: &[Vec<String>],
    foreign: &[Container],
) -> BTreeMap<String, usize> {
    let mut all: Vec<Container> = members.iter().chain(foreign).cloned().collect();
    for container in &mut all {
        let lives_in = std::mem::take(&mut container.standing.lives_in);
        container
            .dependencies
            .extend(lives_in.into_iter().map(needs));
    }
    let mut below: &[String] = &[];
    for level in known {
        for container in all.iter_mut().filter(|it| level.contains(&it.id)) {
            container
                .dependencies
                .extend(below.iter().cloned().map(needs));
        }
        below = level;
    }
    let needed = needed_by(members, &all);
    let above: Vec<Dependency> = members
        .iter()
        .map(|member| needs(member.id.clone()))
        .collect();
    for container in &mut all {
        let is_foreign = foreign.iter().any(|one| one.id == container.id);
        if is_foreign && !needed.contains(&container.id) {
            container.dependencies.extend(above.iter().cloned());
        }
    }
    let levels = levels(&all).levels;
    levels
        .into_iter()
        .enumerate()
        .flat_map(|(level, ids)| ids.into_iter().map(move |id| (id, level)))
        .collect()
}

fn needs(on: String) -> Dependency {
    Dependency {
        on,
        condition: Condition::ServiceStarted,
    }
}

/// Everything that `members` need, directly or not.
fn needed_by(members: &[Container], all: &[Container]) -> BTreeSet<String> {
    let by_id: BTreeMap<&str, &Container> = all
        .iter()
        .map(|container| (container.id.as_str(), container))
        .collect();
    let mut needed = BTreeSet::new();
    let mut open: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    while let Some(id) = open.pop() {
        let container = by_id.get(id);
        for dependency in container.iter().flat_map(|it| &it.dependencies) {
            if needed.insert(dependency.on.clone()) {
                open.push(&dependency.on);
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::testing;
    use crate::model::ContainerState;

    fn container(name: &str, needs: &[&str], lives_in: &[&str]) -> Container {
        let mut container = testing::linked(&[(name, needs)]).remove(0);
        container.state = ContainerState::Running;
        container.standing.lives_in = lives_in.iter().map(|id| (*id).to_owned()).collect();
        container
    }

    #[test]
    fn who_lives_in_another_is_found_however_far_away() {
        let all = [
            container("vpn", &[], &[]),
            container("client", &[], &["vpn"]),
            container("probe", &[], &["client"]),
            container("other", &[], &["elsewhere"]),
        ];
        let found = joiners(&all, &BTreeSet::from(["vpn".to_owned()]));
        let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["client", "probe"]);
    }

    #[test]
    fn neighbours_are_above_the_members_unless_a_member_needs_them() {
        let members = [
            container("app", &["db"], &["vpn"]),
            container("db", &[], &[]),
        ];
        let foreign = [
            container("vpn", &[], &[]),
            container("browser", &[], &[]),
            container("probe", &[], &["app"]),
        ];
        let known = levels(&members).levels;
        let order = order(&members, &known, &foreign);
        let level = |name: &str| order[name];
        assert!(level("vpn") < level("app") && level("db") < level("app"));
        assert!(level("browser") > level("app"));
        assert!(level("probe") > level("app"));
    }
}
