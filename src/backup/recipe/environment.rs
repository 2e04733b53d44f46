//! `.env` files as compose reads them, as far as the values can be part of a path.

use std::collections::BTreeMap;

use super::interpolate::interpolate;

pub type Environment = BTreeMap<String, String>;

/// Adds the variables of a file's `text` to `known`; a later one wins, and a value may use an earlier one.
pub fn read(text: &str, known: &mut Environment) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, rest)) = line.split_once('=') else {
            continue;
        };
        let key = key.trim();
        if key.is_empty() || key.starts_with('#') {
            continue;
        }
        let rest = rest.trim_start();
        let value = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let quoted = quoted(rest.get(1..).unwrap_or(""), quote, &mut lines);
                if quote == '"' {
                    interpolate(&unescape(&quoted), known)
                } else {
                    quoted
                }
            }
            _ => interpolate(unquoted(rest), known),
        };
        known.insert(key.to_owned(), value);
    }
}

/// Up to the closing quote, which may be lines below. Without one, all the rest belongs to the value.
fn quoted<'a>(first: &'a str, quote: char, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut value = String::new();
    let mut line = first;
    loop {
        let mut is_escaped = false;
        for c in line.chars() {
            if c == quote && !is_escaped {
                return value;
            }
            is_escaped = c == '\\' && !is_escaped && quote == '"';
            value.push(c);
        }
        let Some(next) = lines.next() else {
            return value;
        };
        value.push('\n');
        line = next;
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('t') => plain.push('\t'),
                Some('r') => plain.push('\r'),
                Some('$') => plain.push_str("$$"),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

/// Without a comment, which begins after a blank, and without blanks at the end.
fn unquoted(text: &str) -> &str {
    if text.starts_with('#') {
        return "";
    }
    let end = text.match_indices('#').map(|(at, _)| at).find(|at| {
        text.get(..*at)
            .is_some_and(|before| before.ends_with([' ', '\t']))
    });
    end.and_then(|end| text.get(..end))
        .unwrap_or(text)
        .trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_compose_does() {
        let mut known = Environment::from([("HOME".to_owned(), "/root".to_owned())]);
        read(
            "# comment\nexport DATA=/srv # where\nEMPTY=\nSUB=${DATA}/sub\nQUOTED=\"a # b\\t${SUB}\"\n\
             RAW='${DATA}'\nHASH=a#b\nLINES=\"one\ntwo\"\nAFTER = x \nnonsense\nAT=$HOME/x\r\n",
            &mut known,
        );
        let expected = [
            ("AFTER", "x"),
            ("AT", "/root/x"),
            ("DATA", "/srv"),
            ("EMPTY", ""),
            ("HASH", "a#b"),
            ("HOME", "/root"),
            ("LINES", "one\ntwo"),
            ("QUOTED", "a # b\t/srv/sub"),
            ("RAW", "${DATA}"),
            ("SUB", "/srv/sub"),
        ];
        let known: Vec<(&str, &str)> = known
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(known, expected);
    }
}
