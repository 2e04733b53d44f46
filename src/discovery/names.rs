//! Names of units: one path component each, and no two alike.

use std::collections::BTreeSet;

use crate::model::UnitName;

/// Names given so far.
#[derive(Debug, Default)]
pub struct Names {
    taken: BTreeSet<UnitName>,
}

impl Names {
    /// `wanted` if it can be a unit's name and is free; else the nearest that is, which is the same in every run
    /// as long as the same things ask in the same order.
    pub fn give(&mut self, wanted: &str, suffix: &str) -> UnitName {
        let clean: String = wanted
            .chars()
            .map(|c| if c == '/' || c.is_control() { '_' } else { c })
            .take(200)
            .collect();
        let mut number = 0;
        loop {
            let mut candidate = match number {
                0 => clean.clone(),
                1 => format!("{clean}{suffix}"),
                _ => format!("{clean}{suffix}.{number}"),
            };
            // 200 letters can be 800 bytes; the end is what tells names apart.
            while candidate.len() > 255 {
                candidate.remove(0);
            }
            // `.`, `..` and an empty text are no names; with a suffix they are.
            if let Ok(name) = UnitName::parse(&candidate)
                && self.taken.insert(name.clone())
            {
                return name;
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_harmless_and_unique() {
        let mut names = Names::default();
        let mut give = |wanted: &str| names.give(wanted, ".container").to_string();
        assert_eq!(give("web"), "web");
        assert_eq!(give("web"), "web.container");
        assert_eq!(give("web"), "web.container.2");
        assert_eq!(give("a/b\nc"), "a_b_c");
        assert_eq!(give(".."), "...container");
        assert_eq!(give(""), ".container");
        let long = "ü".repeat(300);
        assert!(give(&long).len() <= 255);
        assert_ne!(give(&long), give(&long));
    }
}
