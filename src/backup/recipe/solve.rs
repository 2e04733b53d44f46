//! One variable out of a text and what the text became.

use super::environment::Environment;
use super::interpolate::interpolate;

/// Stands for the value; no text of a compose file has it.
const MARK: &str = "\u{1}";

/// The value of `name` with which `template` is `observed`; `None` when there is none, or several might be.
pub fn solve(template: &str, name: &str, known: &Environment, observed: &str) -> Option<String> {
    let mut with = known.clone();
    with.insert(name.to_owned(), MARK.to_owned());
    let marked = interpolate(template, &with);
    let literals: Vec<&str> = marked.split(MARK).collect();
    let count = literals.len().checked_sub(1).filter(|count| *count > 0)?;
    let fixed: usize = literals.iter().map(|literal| literal.len()).sum();
    let rest = observed.len().checked_sub(fixed)?;
    if rest % count != 0 {
        return None;
    }
    let start = literals.first()?.len();
    let value = observed.get(start..start + rest / count)?.to_owned();
    with.insert(name.to_owned(), value.clone());
    (interpolate(template, &with) == observed).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_from_what_became_of_the_text() {
        let known = Environment::from([("A".to_owned(), "1".to_owned())]);
        for (template, observed, expected) in [
            ("${X}/db", "/srv/db", Some("/srv")),
            ("$X:$X", "1000:1000", Some("1000")),
            ("$A-${X:-default}-z", "1-other-z", Some("other")),
            ("${X:?must}", "", Some("")),
            ("$X:$X", "1000:1001", None),
            ("${X}/db", "/srv/data", None),
            ("plain", "plain", None),
            ("${X:+set}", "set", None),
            ("ü${X}ü", "üaü", Some("a")),
        ] {
            let found = solve(template, "X", &known, observed);
            assert_eq!(found.as_deref(), expected, "{template} is {observed}");
        }
    }
}
