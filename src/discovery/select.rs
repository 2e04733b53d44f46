//! From names on the command line to units.

use crate::error::{Exit, Failure, Result};
use crate::model::{Unit, UnitName};

/// The units with these names, in their own order; all of them when no name is given.
///
/// A name that matches nothing is an error ([`Exit::NothingMatched`]) before anything is done with the others.
pub fn select(units: Vec<Unit>, names: &[UnitName]) -> Result<Vec<Unit>> {
    if names.is_empty() {
        return Ok(units);
    }
    let unknown: Vec<&UnitName> = names
        .iter()
        .filter(|name| !units.iter().any(|unit| unit.name == **name))
        .collect();
    if unknown.is_empty() {
        return Ok(units
            .into_iter()
            .filter(|unit| names.contains(&unit.name))
            .collect());
    }
    let list = |names: &[&UnitName]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        quoted.join(", ")
    };
    let mut failure = Failure::new(
        Exit::NothingMatched,
        format!("no unit is called {}", list(&unknown)),
    );
    let mut close: Vec<&UnitName> = unknown
        .iter()
        .flat_map(|name| similar(&units, name))
        .collect();
    close.dedup();
    if !close.is_empty() {
        failure = failure.hint(format!("did you mean {}?", list(&close)));
    }
    Err(failure
        .hint("see all units with `kopi-docka list --units`")
        .into())
}

/// At most three, the closest first.
fn similar<'a>(units: &'a [Unit], wrong: &UnitName) -> Vec<&'a UnitName> {
    let wrong = wrong.as_str().to_lowercase();
    let mut close: Vec<(usize, &UnitName)> = units
        .iter()
        .filter_map(|unit| {
            let name = unit.name.as_str().to_lowercase();
            let distance = strsim::damerau_levenshtein(&name, &wrong);
            let is_part = wrong.len() >= 3 && name.contains(&wrong);
            let is_close = distance <= (wrong.chars().count() / 3).max(1);
            (is_part || is_close).then_some((distance, &unit.name))
        })
        .collect();
    close.sort();
    close.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::testing;
    use crate::error::{exit_of, render};

    fn names(names: &[&str]) -> Vec<UnitName> {
        names
            .iter()
            .map(|name| UnitName::parse(name).unwrap())
            .collect()
    }

    fn selected(wanted: &[&str]) -> Result<Vec<String>> {
        let units = ["nextcloud", "nextcloud-db", "traefik"]
            .map(testing::unit)
            .to_vec();
        let units = select(units, &names(wanted))?;
        Ok(units
            .into_iter()
            .map(|unit| unit.name.to_string())
            .collect())
    }

    #[test]
    fn names_select_and_no_name_selects_all() {
        assert_eq!(
            selected(&["traefik", "nextcloud", "traefik"]).unwrap(),
            ["nextcloud", "traefik"]
        );
        assert_eq!(selected(&[]).unwrap().len(), 3);
    }

    #[test]
    fn a_typo_names_what_was_meant_and_selects_nothing() {
        let error = selected(&["traefik", "nextclud"]).unwrap_err();
        assert_eq!(exit_of(&error), Exit::NothingMatched);
        assert_eq!(
            render(&error),
            "error: no unit is called `nextclud`\nhint: did you mean `nextcloud`?\n\
             hint: see all units with `kopi-docka list --units`\n"
        );
        let text = render(&selected(&["next"]).unwrap_err());
        assert!(text.contains("`nextcloud`, `nextcloud-db`"), "{text}");
        assert!(!render(&selected(&["xyz"]).unwrap_err()).contains("did you mean"));
    }
}
