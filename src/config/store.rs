//! A configuration as it is written: the document of a file, and the text of a document. Keys keep their order.

use anyhow::Context as _;
use serde_json::Value;

use super::schema::Config;
use crate::base::secret::Secret;
use crate::error::Result;

/// What a configuration file says, to be changed and written back.
pub fn document_of(text: &[u8]) -> Result<Value> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // Without the cause, which may repeat what it could not read.
    let document = serde_json::from_slice(text).ok();
    document.context("the configuration has become unreadable")
}

pub fn text_of(document: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    Ok(text)
}

/// A configuration with every key at its default, but for the profile. Where the repository is and its password are still
/// to be set.
pub fn new_document(profile: &str) -> Value {
    let mut document = serde_json::to_value(Config::default()).unwrap_or_default();
    put(&mut document, "kopia", "profile", Value::from(profile));
    document
}

/// Another repository for a configuration that is there; what else it says stays, without `password` that of the old one too.
pub fn set_repository(document: &mut Value, kopia_params: &str, password: Option<&Secret>) {
    put(document, "kopia", "kopia_params", Value::from(kopia_params));
    if let Some(password) = password {
        set_password(document, password);
    }
}

/// In the configuration itself, whatever file had it before.
pub fn set_password(document: &mut Value, password: &Secret) {
    put(
        document,
        "kopia",
        "password",
        Value::from(password.expose()),
    );
    put(document, "kopia", "password_file", Value::Null);
}

/// The name of the host is no longer said.
pub fn forget_host(document: &mut Value) {
    put(document, "kopia", "host", Value::Null);
}

/// A recovery bundle after each backup.
pub fn renew_bundles(document: &mut Value) {
    put(
        document,
        "backup",
        "update_recovery_bundle",
        Value::from(true),
    );
}

fn put(document: &mut Value, section: &str, key: &str, value: Value) {
    let sections = document.as_object_mut();
    let section = sections.map(|sections| {
        sections
            .entry(section)
            .or_insert_with(|| Value::Object(serde_json::Map::new()))
    });
    if let Some(section) = section.and_then(Value::as_object_mut) {
        section.insert(key.to_owned(), value);
    }
}
