//! The errors of a configuration: the file, the place in it, what was expected. What was found is repeated only
//! where it cannot be a secret.

use serde_json::Value;

use super::key_path::KeyPath;
use crate::base::text::printable;
use crate::error::{Exit, Failure};

pub fn failure(message: String) -> Failure {
    Failure::new(Exit::Config, message)
}

pub fn syntax(name: &str, error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text);
    failure(format!(
        "`{name}` is not valid JSON: line {line}, column {column}: {text}"
    ))
}

/// `message` is what serde or one of our values said about the value at `path`.
pub fn mismatch(name: &str, document: &Value, path: &KeyPath, message: &str) -> Failure {
    let place = if path.is_root() {
        format!("`{name}`")
    } else {
        format!("`{name}`: `{path}`")
    };
    let Some(expected) = expected_in(message) else {
        return failure(format!("{place} {message}"));
    };
    let found = path.find(document).map_or_else(
        || "missing".to_owned(),
        |value| describe(value, is_private(path)),
    );
    failure(format!("{place} is {found}, expected {expected}"))
}

/// What `message`, of serde or of one of our values, says that a value has to be.
pub fn expected_in(message: &str) -> Option<&str> {
    let (_, expected) = message.rsplit_once("expected ")?;
    Some(match expected {
        "a sequence" => "a list (`[ … ]`)",
        "a map" => "an object (`{ … }`)",
        "a boolean" => "true or false",
        other => other,
    })
}

fn is_private(path: &KeyPath) -> bool {
    let private = [&["kopia", "password"][..], &["kopia", "kopia_params"]];
    let is_address = path.starts_with("notify") && path.last_key() == Some("url");
    is_address || private.iter().any(|keys| *path == KeyPath::of(keys))
}

fn describe(value: &Value, private: bool) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Number(_) if private => "a number".to_owned(),
        Value::String(_) if private => "a text that is not it".to_owned(),
        Value::String(text) if text.chars().count() > LONGEST => {
            let start: String = text.chars().take(LONGEST).collect();
            printable(&format!("\"{start}…\""))
        }
        other => printable(&other.to_string()),
    }
}
