//! Who comes before whom.

use std::collections::BTreeSet;

/// What decides the place of one unit.
#[derive(Clone, Debug, Default)]
pub struct Ties {
    /// Others share its data.
    pub is_owner: bool,
    /// Names of the containers that come with it.
    pub brings: Vec<String>,
    /// Names of containers of others that its own live in, or are linked to.
    pub needs: Vec<String>,
}

/// Indices of `units` in the order in which they are restored: those whose data others share, and before each what it needs. What
/// needs one another in a circle stays as it is.
pub fn order(units: &[Ties]) -> Vec<usize> {
    let mut rest: Vec<(usize, &Ties)> = units.iter().enumerate().collect();
    rest.sort_by_key(|(_, unit)| !unit.is_owner);
    let mut order = Vec::with_capacity(units.len());
    while !rest.is_empty() {
        let waiting: BTreeSet<&str> = rest
            .iter()
            .flat_map(|(_, unit)| &unit.brings)
            .map(String::as_str)
            .collect();
        let is_ready = |unit: &Ties| {
            let mut needs = unit.needs.iter().filter(|need| !unit.brings.contains(need));
            !needs.any(|need| waiting.contains(need.as_str()))
        };
        let next = rest.iter().position(|(_, unit)| is_ready(unit));
        let (index, _) = rest.remove(next.unwrap_or(0));
        order.push(index);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ties(brings: &str, needs: &[&str], is_owner: bool) -> Ties {
        Ties {
            is_owner,
            brings: vec![brings.to_owned()],
            needs: needs.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_needed_and_what_is_shared_comes_first() {
        let units = [
            ties("app", &["vpn"], false),
            ties("media", &[], false),
            ties("files", &["app"], true),
            ties("vpn", &["elsewhere"], false),
            ties("library", &[], true),
        ];
        assert_eq!(order(&units), [4, 1, 3, 0, 2]);
        let circle = [
            ties("a", &["b"], false),
            ties("b", &["a"], false),
            ties("c", &[], false),
        ];
        assert_eq!(order(&circle), [2, 0, 1]);
        assert!(order(&[]).is_empty());
    }
}
