//! From the bytes of a file to a [`Config`]: JSON, then its keys, then its values. Knows no file system.

use serde_json::Value;

use super::key_path::KeyPath;
use super::params;
use super::password::is_placeholder;
use super::problem::{failure, mismatch, syntax};
use super::schema::Config;
use super::unknown::{self, Unknown};
use super::{layout, version};
use crate::base::text::printable;
use crate::error::Failure;

/// What a file says, before its values were checked.
pub struct Document {
    value: Value,
    pub unknown: Vec<Unknown>,
    /// The file as errors call it.
    name: String,
}

impl Document {
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, Failure> {
        let name = name.to_owned();
        // Editors of other systems put it there; it means nothing in UTF-8.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|_| failure(format!("`{name}` is not UTF-8 text")))?;
        if text.trim().is_empty() {
            return Err(
                failure(format!("`{name}` is empty")).hint("an empty configuration is `{}`")
            );
        }
        let value = serde_json::from_str(text).map_err(|error| syntax(&name, &error))?;
        let unknown = unknown::find_unknown(&value)
            .map_err(|path| mismatch(&name, &value, &path, "expected an object (`{ … }`)"))?;
        Ok(Self {
            value,
            unknown,
            name,
        })
    }

    /// Whether the file must not be read by others.
    pub fn holds_secret(&self) -> bool {
        let text = |keys: &[&str]| KeyPath::of(keys).find(&self.value).and_then(Value::as_str);
        let password = text(&["kopia", "password"]);
        let params = text(&["kopia", "kopia_params"]);
        password.is_some_and(|password| !password.is_empty() && !is_placeholder(password))
            || params.is_some_and(params::holds_secret)
            || self.has_address()
            || self.unknown.iter().any(|unknown| unknown.holds_secret)
    }

    /// Whether a message is sent to an address that is in the file itself.
    fn has_address(&self) -> bool {
        let targets = self.value.get("notify").and_then(Value::as_array);
        let mut targets = targets.into_iter().flatten();
        targets.any(|target| target.get("url").is_some_and(|url| !url.is_null()))
    }

    /// The values, checked; with what is odd about them. `profile` is what it is when the file says nothing.
    pub fn into_config(mut self, profile: &str) -> Result<(Config, Vec<String>), Failure> {
        let both_passwords = self.complete(profile);
        let Self { value, name, .. } = &self;
        let config: Config = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = KeyPath::from(error.path());
            mismatch(name, value, &path, &error.inner().to_string())
        })?;
        let at = |keys: &[&str], message: &str| mismatch(name, value, &KeyPath::of(keys), message);
        let old = version::check(&config.version).map_err(|error| at(&["version"], &error))?;

        for (index, target) in config.notify.iter().enumerate() {
            if let Some((key, why)) = target.problem() {
                let path = KeyPath::of(&["notify"]).element(index).child(key);
                return Err(mismatch(name, value, &path, &why));
            }
        }

        for (index, hook) in config.hooks.iter().enumerate() {
            if let Some((key, why)) = hook.problem() {
                let path = KeyPath::of(&["hooks"]).element(index).child(key);
                return Err(mismatch(name, value, &path, &why));
            }
        }

        let mut warnings: Vec<String> = old.into_iter().collect();
        warnings.extend(self.unknown.iter().map(Unknown::warning));
        if both_passwords {
            warnings.push("`kopia.password` is ignored: `kopia.password_file` is set".to_owned());
        }
        if let Some(host) = config.kopia.kopia_params.flag("host")
            && host.ends_with(".tailnet")
        {
            warnings.push(format!(
                "`{}` in `kopia.kopia_params` is no name that resolves: take the one that `tailscale status` shows",
                printable(host)
            ));
        }
        Ok((config, warnings))
    }

    /// The defaults that depend on other keys or on the file. True when there are two passwords.
    fn complete(&mut self, profile: &str) -> bool {
        let Some(document) = self.value.as_object_mut() else {
            return false;
        };
        let kopia = document
            .entry("kopia")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        let Some(kopia) = kopia.as_object_mut() else {
            return false;
        };
        if kopia.get("profile").is_none_or(Value::is_null) {
            kopia.insert("profile".to_owned(), Value::from(profile));
        }
        let has_file = kopia
            .get("password_file")
            .is_some_and(|file| !file.is_null());
        match kopia.get("password").and_then(Value::as_str) {
            _ if !has_file => false,
            Some(password) => !password.is_empty() && !is_placeholder(password),
            None => {
                kopia.entry("password").or_insert(Value::Null);
                false
            }
        }
    }
}

/// Checks that need final paths.
pub fn check_paths(config: &Config, name: &str) -> Result<(), Failure> {
    layout::check(config)
        .map_err(|(path, message)| failure(format!("`{name}`: `{path}` {message}")))
}

#[cfg(test)]
mod tests;
