//! One key of an old file, whichever format it had.

use std::path::Path;

use serde_json::{Map, Value};

use super::keys::Kind;
use super::storage;
use crate::config::params::KopiaParams;
use crate::config::problem;
use crate::error::Failure;

pub struct Entry {
    pub section: String,
    pub key: String,
    /// A text in an INI file, anything in JSON.
    pub value: Value,
    /// `None` in JSON.
    pub line: Option<usize>,
    /// `%%` became `%`.
    pub is_unescaped: bool,
}

impl Entry {
    pub fn path(&self) -> String {
        if self.section.is_empty() {
            self.key.clone()
        } else {
            format!("{}.{}", self.section, self.key)
        }
    }

    pub fn says_nothing(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.values().all(Value::is_null),
            _ => false,
        }
    }

    /// The value as ours has it. `Ok(None)`: a word that means nothing any more. The error repeats nothing of it.
    pub fn convert(&self, kind: Kind, folder: &Path) -> Result<Option<Value>, String> {
        let Value::String(text) = &self.value else {
            return Ok(Some(self.value.clone()));
        };
        let value = match kind {
            Kind::Text => Value::from(text.as_str()),
            Kind::Number => Value::from(number(text)?),
            Kind::NumberOrAuto if text.eq_ignore_ascii_case("auto") => Value::from("auto"),
            Kind::NumberOrAuto => Value::from(number(text)?),
            Kind::Switch => Value::from(switch(text)?),
            Kind::List => Value::from(list(text)?),
            Kind::Level if text.eq_ignore_ascii_case("critical") => Value::from("ERROR"),
            Kind::Level => Value::from(text.as_str()),
            Kind::Encryption => return Ok(encryption(text).map(Value::from)),
            Kind::PasswordFile if text.starts_with("~/") => Value::from(text.as_str()),
            Kind::PasswordFile => {
                let file = std::path::absolute(folder.join(text)).map_err(|why| why.to_string())?;
                Value::from(file.to_string_lossy())
            }
            Kind::Repository => Value::from(storage::params(text)?),
        };
        Ok(Some(value))
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| "expected a whole number".to_owned())
}

/// As Python's configparser takes them.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Ok(true),
        "0" | "no" | "false" | "off" => Ok(false),
        _ => Err("expected yes or no".to_owned()),
    }
}

/// `["*.tmp", "x"]`, or one after the other with commas or line ends between.
fn list(text: &str) -> Result<Vec<String>, String> {
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|_| "expected a list of texts, such as [\"*.tmp\", \"cache\"]".to_owned());
    }
    let parts = text.split([',', '\n']).map(str::trim);
    Ok(parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect())
}

/// A repository keeps what it was made with; this is for a new one.
fn encryption(text: &str) -> Option<&'static str> {
    let name = text.to_ascii_lowercase().replace(['-', '_'], "");
    match name.as_str() {
        "aes256" | "aes256gcm" | "aes256gcmhmacsha256" => Some("AES256-GCM-HMAC-SHA256"),
        "chacha20" | "chacha20poly1305" | "chacha20poly1305hmacsha256" => {
            Some("CHACHA20-POLY1305-HMAC-SHA256")
        }
        _ => None,
    }
}

pub fn of_json(text: &str, name: &str) -> Result<Vec<Entry>, Failure> {
    let document: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| problem::syntax(name, &error))?;
    let mut entries = Vec::new();
    for (section, value) in document {
        let mut add = |section: &str, key: String, value| {
            entries.push(Entry {
                section: section.to_owned(),
                key,
                value,
                line: None,
                is_unescaped: false,
            });
        };
        match value {
            Value::Object(keys) => keys
                .into_iter()
                .for_each(|(key, value)| add(&section, key, value)),
            value => add("", section, value),
        }
    }
    Ok(entries)
}

/// Parameters that are written as ours.
pub fn is_params(text: &str) -> bool {
    KopiaParams::parse(text).is_ok()
}
