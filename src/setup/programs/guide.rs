//! The manual guide: the same commands that we would run, for this distribution first and for the others.

use serde::Serialize;

use super::distribution::{Distribution, Family};
use super::look::Dependency;
use super::plan::{ByHand, plan};

/// What brings everything on one kind of distribution.
#[derive(Debug, Serialize)]
pub struct GuidePart {
    pub distribution: String,
    pub is_this_host: bool,
    pub commands: Vec<String>,
    pub by_hand: Vec<ByHand>,
}

pub fn guide(here: &Distribution) -> Vec<GuidePart> {
    let others = Family::ALL
        .into_iter()
        .filter(|family| Some(*family) != here.family)
        .map(|family| part(&family.example(), false));
    std::iter::once(part(here, true)).chain(others).collect()
}

fn part(distribution: &Distribution, is_this_host: bool) -> GuidePart {
    // The reader may have nothing installed yet.
    let plan = plan(distribution, &Dependency::ALL, |program| {
        program == "systemctl"
    });
    GuidePart {
        distribution: distribution.name.clone(),
        is_this_host,
        commands: plan.steps.iter().map(super::plan::Step::display).collect(),
        by_hand: plan.by_hand,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_comes_first_and_every_other_family_once() {
        let here = Distribution::parse("ID=fedora\nPRETTY_NAME=\"Fedora 41\"\n");
        let parts = guide(&here);
        assert_eq!(parts.len(), 4);
        assert_eq!(parts[0].distribution, "Fedora 41");
        assert!(parts[0].is_this_host);
        assert!(parts[1..].iter().all(|part| !part.is_this_host));
        let unknown = guide(&Distribution::parse("ID=alpine\n"));
        assert_eq!(unknown.len(), 5);
        assert!(unknown[0].commands.is_empty());
        assert_eq!(unknown[0].by_hand.len(), Dependency::ALL.len());
    }
}
