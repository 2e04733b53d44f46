//! Dependency levels: what starts together, and after what.

use std::collections::BTreeMap;

use crate::model::unit::Container;

pub struct Levels {
    /// Ids; level 0 depends on nothing. Within a level in the order of the containers.
    pub levels: Vec<Vec<String>>,
    /// Names of containers that need each other in a circle, one list a circle.
    pub cycles: Vec<Vec<String>>,
}

/// Each container one level above the highest that it needs. Those of a circle share a level. What is needed and not among
/// `containers` does not count. Takes as long as there are containers and dependencies.
pub fn levels(containers: &[Container]) -> Levels {
    let numbers: BTreeMap<&str, usize> = containers
        .iter()
        .enumerate()
        .map(|(number, container)| (container.id.as_str(), number))
        .collect();
    let edges: Vec<Vec<usize>> = containers
        .iter()
        .map(|container| {
            let on = container.dependencies.iter();
            on.filter_map(|on| numbers.get(on.on.as_str()).copied())
                .collect()
        })
        .collect();
    let circles = circles(&edges);
    let mut circle_of = vec![0; containers.len()];
    for (number, circle) in circles.iter().enumerate() {
        for member in circle {
            put(&mut circle_of, *member, number);
        }
    }
    // What a circle needs was found before it.
    let mut level_of = vec![0; circles.len()];
    for (number, circle) in circles.iter().enumerate() {
        let needed = circle
            .iter()
            .flat_map(|member| edges.get(*member).into_iter().flatten())
            .filter_map(|other| circle_of.get(*other))
            .filter(|other| **other != number);
        let level = needed
            .filter_map(|other| level_of.get(*other))
            .max()
            .map_or(0, |highest| highest + 1);
        put(&mut level_of, number, level);
    }

    let mut levels: Vec<Vec<String>> = Vec::new();
    levels.resize_with(
        level_of.iter().max().map_or(0, |highest| highest + 1),
        Vec::new,
    );
    let mut members: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (container, circle) in containers.iter().zip(&circle_of) {
        let level = level_of.get(*circle).copied().unwrap_or(0);
        if let Some(level) = levels.get_mut(level) {
            level.push(container.id.clone());
        }
        let is_circle = circles.get(*circle).is_some_and(|circle| {
            circle.len() > 1
                || circle
                    .iter()
                    .any(|one| edges.get(*one).is_some_and(|on| on.contains(one)))
        });
        if is_circle {
            let members = members.entry(*circle).or_default();
            members.push(container.name.clone());
        }
    }
    let mut cycles: Vec<Vec<String>> = members.into_values().collect();
    cycles.sort();
    Levels { levels, cycles }
}

fn put(list: &mut [usize], index: usize, value: usize) {
    if let Some(place) = list.get_mut(index) {
        *place = value;
    }
}

/// What can reach each other by `edges`, one list for each: after all that it can reach (Tarjan, 1972). Without recursion: a chain of
/// thousands must not end in a stack that is too small.
fn circles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut search = Search {
        order: vec![None; edges.len()],
        lowest: vec![0; edges.len()],
        is_open: vec![false; edges.len()],
        open: Vec::new(),
        found: 0,
        circles: Vec::new(),
    };
    for root in 0..edges.len() {
        if search.order.get(root).is_some_and(Option::is_none) {
            search.from(root, edges);
        }
    }
    search.circles
}

struct Search {
    /// When each was found.
    order: Vec<Option<usize>>,
    /// The earliest found that each can reach within its circle.
    lowest: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    found: usize,
    circles: Vec<Vec<usize>>,
}

impl Search {
    fn from(&mut self, root: usize, edges: &[Vec<usize>]) {
        // Each with how many of its edges were followed.
        let mut path = vec![(root, 0)];
        self.enter(root);
        while let Some((at, next)) = path.last_mut() {
            let at = *at;
            let to = edges.get(at).and_then(|edges| edges.get(*next)).copied();
            *next += 1;
            let Some(to) = to else {
                path.pop();
                self.leave(at);
                if let Some((before, _)) = path.last() {
                    self.lower(*before, self.lowest.get(at).copied());
                }
                continue;
            };
            match self.order.get(to).copied().flatten() {
                None => {
                    self.enter(to);
                    path.push((to, 0));
                }
                Some(order) if self.is_open.get(to) == Some(&true) => self.lower(at, Some(order)),
                Some(_) => {}
            }
        }
    }

    fn enter(&mut self, at: usize) {
        if let Some(order) = self.order.get_mut(at) {
            *order = Some(self.found);
        }
        put(&mut self.lowest, at, self.found);
        self.found += 1;
        self.open.push(at);
        if let Some(is_open) = self.is_open.get_mut(at) {
            *is_open = true;
        }
    }

    fn lower(&mut self, at: usize, to: Option<usize>) {
        if let (Some(lowest), Some(to)) = (self.lowest.get_mut(at), to) {
            *lowest = (*lowest).min(to);
        }
    }

    /// All that `at` reaches is known: when it reaches nothing earlier, a circle ends with it.
    fn leave(&mut self, at: usize) {
        if self.lowest.get(at).copied() != self.order.get(at).copied().flatten() {
            return;
        }
        let mut circle = Vec::new();
        while let Some(member) = self.open.pop() {
            if let Some(is_open) = self.is_open.get_mut(member) {
                *is_open = false;
            }
            circle.push(member);
            if member == at {
                break;
            }
        }
        self.circles.push(circle);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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

    #[test]
    fn hundreds_of_replicas_and_long_chains_take_milliseconds() {
        let names: Vec<String> = (0..500).map(|number| format!("replica-{number}")).collect();
        let replicas = names
            .iter()
            .map(|name| (name.as_str(), &["db", "cache"][..]));
        let others: [(&str, &[&str]); 2] = [("cache", &["db"]), ("db", &[])];
        let containers = testing::linked(&replicas.chain(others).collect::<Vec<_>>());
        let since = Instant::now();
        let found = levels(&containers);
        assert!(since.elapsed() < Duration::from_millis(500));
        assert_eq!(found.levels.len(), 3);
        assert_eq!(found.levels[2].len(), 500);

        let chain: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
        let links = names.iter().skip(1).zip(&chain);
        let links: Vec<(&str, &[&str])> = links
            .map(|(name, on)| (name.as_str(), &on[..]))
            .chain([(names[0].as_str(), &[][..])])
            .collect();
        let since = Instant::now();
        assert_eq!(levels(&testing::linked(&links)).levels.len(), 500);
        assert!(since.elapsed() < Duration::from_millis(500));
    }
}
