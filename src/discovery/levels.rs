//! Dependency levels: what starts together, and after what.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::unit::Container;

pub struct Levels {
    /// Ids; level 0 depends on nothing. Within a level in the order of the containers.
    pub levels: Vec<Vec<String>>,
    /// Names of containers that need each other in a circle, one list a circle.
    pub cycles: Vec<Vec<String>>,
}

/// Each container one level above the highest that it needs. Those of a circle share a level.
pub fn levels(containers: &[Container]) -> Levels {
    let edges: BTreeMap<&str, BTreeSet<&str>> = containers
        .iter()
        .map(|container| {
            let on = container.dependencies.iter().map(|d| d.on.as_str());
            (container.id.as_str(), on.collect())
        })
        .collect();
    let reach: BTreeMap<&str, BTreeSet<&str>> = edges
        .keys()
        .map(|id| (*id, reachable(id, &edges)))
        .collect();
    let needs = |a: &str, b: &str| reach.get(a).is_some_and(|all| all.contains(b));
    let in_circle = |a: &str, b: &str| needs(a, b) && needs(b, a);

    let mut level: BTreeMap<&str, usize> = edges.keys().map(|id| (*id, 0)).collect();
    // A path without circles has fewer steps than there are containers, so this many rounds settle it.
    for _ in 0..containers.len() {
        for (id, on) in &edges {
            let lowest = on
                .iter()
                .filter(|other| !in_circle(id, other))
                .filter_map(|other| level.get(other))
                .map(|other| other + 1)
                .max()
                .unwrap_or(0);
            let circle = edges
                .keys()
                .filter(|other| *other == id || in_circle(id, other));
            for member in circle {
                let entry = level.entry(member).or_default();
                *entry = (*entry).max(lowest);
            }
        }
    }

    let mut levels: Vec<Vec<String>> = Vec::new();
    for container in containers {
        let level = level.get(container.id.as_str()).copied().unwrap_or(0);
        if levels.len() <= level {
            levels.resize_with(level + 1, Vec::new);
        }
        if let Some(level) = levels.get_mut(level) {
            level.push(container.id.clone());
        }
    }
    let mut cycles: Vec<Vec<String>> = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for container in containers
        .iter()
        .filter(|container| needs(&container.id, &container.id))
    {
        if !told.contains(container.id.as_str()) {
            let circle: Vec<&Container> = containers
                .iter()
                .filter(|other| in_circle(&container.id, &other.id))
                .collect();
            told.extend(circle.iter().map(|member| member.id.as_str()));
            cycles.push(circle.iter().map(|member| member.name.clone()).collect());
        }
    }
    Levels { levels, cycles }
}

fn reachable<'a>(from: &str, edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = vec![from];
    while let Some(id) = open.pop() {
        for next in edges.get(id).into_iter().flatten() {
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::testing;

    fn levels_of(edges: &[(&str, &[&str])]) -> Levels {
        levels(&testing::linked(edges))
    }

    #[test]
    fn the_longest_path_decides() {
        let found = levels_of(&[
            ("app", &["db", "cache"]),
            ("cache", &["db"]),
            ("db", &[]),
            ("lone", &[]),
            ("proxy", &["app", "db"]),
        ]);
        assert_eq!(
            found.levels,
            [
                vec!["db", "lone"],
                vec!["cache"],
                vec!["app"],
                vec!["proxy"]
            ]
        );
        assert!(found.cycles.is_empty());
    }

    #[test]
    fn a_circle_is_one_level_between_what_it_needs_and_what_needs_it() {
        let found = levels_of(&[
            ("a", &["b"]),
            ("b", &["c", "db"]),
            ("c", &["a"]),
            ("db", &[]),
            ("web", &["c"]),
        ]);
        assert_eq!(found.levels, [vec!["db"], vec!["a", "b", "c"], vec!["web"]]);
        assert_eq!(found.cycles, [["a", "b", "c"]]);
    }

    #[test]
    fn no_containers_have_no_levels() {
        assert!(levels_of(&[]).levels.is_empty());
    }
}
