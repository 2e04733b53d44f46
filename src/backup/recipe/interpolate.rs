//! `${VARIABLE:-default}` and its kin.

use super::environment::Environment;

/// `text` with its variables replaced by what `known` says; one that is not known is empty, as with compose.
pub fn interpolate(text: &str, known: &Environment) -> String {
    expand_text(text, known, &mut Vec::new())
}

/// The variables that `text` needs, that `known` does not have, and that it has no default for.
pub fn unknown(text: &str, known: &Environment) -> Vec<String> {
    let mut missing = Vec::new();
    expand_text(text, known, &mut missing);
    missing.sort();
    missing.dedup();
    missing
}

/// Every variable that `text` names and `known` does not have, with a default or without.
pub fn unset(text: &str, known: &Environment) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let inside = after.strip_prefix('{').unwrap_or(after);
        // What follows the name is looked through as well: a default may name others.
        let (name, after) = split_name(inside);
        if !name.is_empty() && !known.contains_key(name) {
            names.push(name.to_owned());
        }
        rest = after;
    }
    names.sort();
    names.dedup();
    names
}

fn expand_text(text: &str, known: &Environment, missing: &mut Vec<String>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((inside, after)) = after.strip_prefix('{').and_then(braced) {
            result.push_str(&expand(inside, known, missing));
            rest = after;
        } else {
            let (name, after) = split_name(after);
            match known.get(name) {
                Some(value) => result.push_str(value),
                None if name.is_empty() => result.push('$'),
                None => missing.push(name.to_owned()),
            }
            rest = after;
        }
    }
    result.push_str(rest);
    result
}

/// What is inside a pair of braces whose first is already read, and what follows it.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
    }
    None
}

fn split_name(text: &str) -> (&str, &str) {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_letter(c)).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return ("", text);
    }
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// `NAME`, or `NAME` with an operator: `-` default, `+` alternative, `?` error; with `:` also when it is empty.
fn expand(inside: &str, known: &Environment, missing: &mut Vec<String>) -> String {
    let (name, operation) = split_name(inside);
    let value = known.get(name).map(String::as_str);
    let (counts_empty, operation) = match operation.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, operation),
    };
    let is_set = value.is_some_and(|value| !(counts_empty && value.is_empty()));
    let mut operation = operation.chars();
    match (operation.next(), is_set) {
        (Some('-'), false) | (Some('+'), true) => expand_text(operation.as_str(), known, missing),
        (Some('+'), false) => String::new(),
        _ => {
            if value.is_none() {
                missing.push(name.to_owned());
            }
            value.unwrap_or_default().to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn what_is_missing_is_told_apart_from_what_has_a_default() {
        let known = Environment::from([("A".to_owned(), String::new())]);
        let text = "$A ${B} ${C:-x} ${D:?must} ${E:-$F} ${G:+x} ${A:-$H} $$I";
        assert_eq!(unknown(text, &known), ["B", "D", "F", "H"]);
        assert_eq!(unset(text, &known), ["B", "C", "D", "E", "F", "G", "H"]);
    }

    #[test]
    fn every_form_of_compose_is_known() {
        let known = Environment::from([
            ("A".to_owned(), "1".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ]);
        for (text, expected) in [
            ("plain", "plain"),
            ("$A/${A}", "1/1"),
            ("$$A $ $1", "$A $ $1"),
            ("${NO}-$NO", "-"),
            ("${NO:-x}${NO-y}${EMPTY:-z}${EMPTY-w}", "xyz"),
            ("${NO:-${A:-q}/${NO:-deep}}", "1/deep"),
            ("${A:+set}${NO:+no}${EMPTY+yes}${EMPTY:+no}", "setyes"),
            ("${A:?must}${NO?must}", "1"),
            ("${unclosed", "${unclosed"),
            ("ü${A}ü", "ü1ü"),
        ] {
            assert_eq!(interpolate(text, &known), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in damaged_text("$A ${B} ${C:-x${D:-$E}} ${F:?must} ${G:+${H}} $$I ${J-}")) {
            let known = Environment::from([("A".to_owned(), "1".to_owned())]);
            let _ = interpolate(&text, &known);
            let _ = unknown(&text, &known);
        }
    }
}
