//! `${VARIABLE:-default}` and its kin.

use super::environment::Environment;

/// `text` with its variables replaced by what `known` says; one that nobody knows is empty, as with compose.
pub fn interpolate(text: &str, known: &Environment) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((inside, after)) = after.strip_prefix('{').and_then(braced) {
            result.push_str(&expand(inside, known));
            rest = after;
        } else {
            let (name, after) = split_name(after);
            if name.is_empty() {
                result.push('$');
            }
            result.push_str(known.get(name).map_or("", String::as_str));
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
fn expand(inside: &str, known: &Environment) -> String {
    let (name, operation) = split_name(inside);
    let value = known.get(name).map(String::as_str);
    let (counts_empty, operation) = match operation.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, operation),
    };
    let is_set = value.is_some_and(|value| !(counts_empty && value.is_empty()));
    let mut operation = operation.chars();
    match (operation.next(), is_set) {
        (Some('-'), false) | (Some('+'), true) => interpolate(operation.as_str(), known),
        (Some('+'), false) => String::new(),
        _ => value.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
