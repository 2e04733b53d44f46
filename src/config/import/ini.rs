//! An INI file as Python's configparser reads it with its defaults (CPython 3.10 to 3.13, `RawConfigParser._read` and
//! `BasicInterpolation`): `=` or `:`, comments on lines of their own, values that go on in indented lines, keys in any case, the
//! section `DEFAULT`, `%%` and `%(name)s`.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::entry::Entry;
use crate::error::{Exit, Failure};

const DEFAULT: &str = "DEFAULT";

/// How often one value may name others, and those again others: a loop ends here.
const LOOKUPS: u32 = 100;

/// A value before its `%` were replaced.
struct Raw {
    section: String,
    key: String,
    lines: Vec<String>,
    line: usize,
}

pub fn parse(text: &str, name: &str) -> Result<Vec<Entry>, Failure> {
    let raw = read(text).map_err(|(line, what)| {
        Failure::new(Exit::Config, format!("`{name}`: line {line} {what}"))
            .hint("an INI file has lines such as `[kopia]` and `password = …`; a comment is on a line of its own")
    })?;
    let mut values: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for raw in &raw {
        let value = raw.lines.join("\n");
        values.insert((&raw.section, &raw.key), value.trim_end().to_owned());
    }
    let mut entries = Vec::new();
    for raw in &raw {
        let find = |key: &str| {
            let key = key.to_lowercase();
            let of = |section: &str| values.get(&(section, key.as_str())).cloned();
            of(&raw.section).or_else(|| of(DEFAULT))
        };
        let written = find(&raw.key).unwrap_or_default();
        let (value, is_unescaped) = match interpolated(&written, &find, &Cell::new(LOOKUPS)) {
            Some(value) => {
                let is_unescaped = value != written;
                (value, is_unescaped)
            }
            // Python would have refused it, so interpolation was off.
            None => (written, false),
        };
        entries.push(Entry {
            section: raw.section.to_lowercase(),
            key: raw.key.clone(),
            value: Value::from(value),
            line: Some(raw.line),
            is_unescaped,
        });
    }
    Ok(entries)
}

fn read(text: &str) -> Result<Vec<Raw>, (usize, &'static str)> {
    let mut found: Vec<Raw> = Vec::new();
    let mut sections: Vec<String> = Vec::new();
    let mut section: Option<String> = None;
    // Whether lines that are indented deeper than this one go on with the last value.
    let mut indent: Option<usize> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let trimmed = line.trim();
        if trimmed.is_empty() {
            if let (Some(_), Some(last)) = (indent, found.last_mut()) {
                last.lines.push(String::new());
            }
            continue;
        }
        if trimmed.starts_with(['#', ';']) {
            continue;
        }
        if trimmed.contains('\0') {
            return Err((number, "has a NUL in it"));
        }
        let depth = line.chars().take_while(|c| c.is_whitespace()).count();
        if let (Some(indent), Some(last)) = (indent, found.last_mut())
            && depth > indent
        {
            last.lines.push(trimmed.to_owned());
            continue;
        }
        if let Some(rest) = trimmed.strip_prefix('[')
            && let Some((header, _)) = rest.rsplit_once(']')
        {
            if header.is_empty() {
                return Err((number, "has a section without a name"));
            }
            if header != DEFAULT && sections.iter().any(|other| other == header) {
                return Err((number, "begins a section that already exists"));
            }
            sections.push(header.to_owned());
            section = Some(header.to_owned());
            indent = None;
            continue;
        }
        let Some(section) = &section else {
            return Err((number, "is before the first section"));
        };
        let Some((key, value)) = trimmed.split_once(['=', ':']) else {
            return Err((number, "is neither a section nor `key = value`"));
        };
        let key = key.trim_end().to_lowercase();
        if key.is_empty() {
            return Err((number, "has no name before its value"));
        }
        if found
            .iter()
            .any(|raw| raw.section == *section && raw.key == key)
        {
            return Err((number, "has a key that its section has already"));
        }
        found.push(Raw {
            section: section.clone(),
            key,
            lines: vec![value.trim_start().to_owned()],
            line: number,
        });
        indent = Some(depth);
    }
    Ok(found)
}

/// `None` when Python would refuse it.
fn interpolated(
    text: &str,
    find: &impl Fn(&str) -> Option<String>,
    lookups: &Cell<u32>,
) -> Option<String> {
    const LONGEST: usize = 1 << 16;
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            result.push('%');
            rest = after;
        } else {
            let (key, after) = after.strip_prefix('(')?.split_once(")s")?;
            lookups.set(lookups.get().checked_sub(1)?);
            result.push_str(&interpolated(&find(key)?, find, lookups)?);
            rest = after;
        }
        if result.len() > LONGEST {
            return None;
        }
    }
    result.push_str(rest);
    Some(result)
}
