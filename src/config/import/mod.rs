//! The configuration of an earlier version, or of the Python tool of the same name, as one of ours: `kopi-docka.conf` (INI) of
//! version 1 and 2, and the JSON of later ones.
//!
//! Reading order: [`ini`] (the file, as Python's configparser reads it) → [`entry`] (one key of it, from either format) →
//! [`keys`] (its place in ours) → [`storage`] (an old address of a repository).
//!
//! Nothing is dropped in silence: what has no place in ours is listed with the reason. No error repeats a value.

mod entry;
mod ini;
mod keys;
mod storage;

use std::path::Path;

use serde_json::Value;

use self::entry::Entry;
use self::keys::Place;
use super::key_path::KeyPath;
use super::params::KopiaParams;
use super::password::is_placeholder;
use super::schema::Config;
use crate::base::secret::Secret;
use crate::error::{Exit, Failure, Result};

/// The result of an import.
pub struct Imported {
    /// Ours, complete but for what is missing.
    pub document: Value,
    /// Secrets that were in the old parameters of the storage; they belong into the file of credentials.
    pub credentials: Vec<(&'static str, Secret)>,
    pub left_out: Vec<LeftOut>,
    /// What is odd about what was carried over.
    pub notes: Vec<String>,
    pub has_repository: bool,
    pub has_password: bool,
}

/// An old key that has no place in ours.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Such as `backup.database_backup`.
    pub key: String,
    pub reason: String,
}

/// Reads `text`, the content of `file`. `profile` is for a file that says nothing of it.
pub fn import(text: &str, file: &Path, profile: &str) -> Result<Imported> {
    let name = file.display().to_string();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries = if text.trim_start().starts_with('{') {
        entry::of_json(text, &name)?
    } else {
        ini::parse(text, &name)?
    };
    let mut import = Import {
        name: &name,
        folder: file.parent().unwrap_or(Path::new("/")),
        imported: Imported {
            document: serde_json::to_value(Config::default()).unwrap_or_default(),
            credentials: Vec::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            has_repository: false,
            has_password: false,
        },
        taken: Vec::new(),
    };
    import.put("kopia.profile", Value::from(profile));
    // The newer of two names for one thing first.
    let (newer, older): (Vec<_>, Vec<_>) = entries
        .iter()
        .partition(|entry| !keys::is_older_name(&entry.path()));
    for entry in newer.into_iter().chain(older) {
        import.carry_over(entry)?;
    }
    import.startup_timeout(&entries);
    Ok(import.imported)
}

struct Import<'a> {
    name: &'a str,
    /// Of the old file: relative paths in it start there.
    folder: &'a Path,
    imported: Imported,
    taken: Vec<&'static str>,
}

impl Import<'_> {
    fn carry_over(&mut self, entry: &Entry) -> Result<()> {
        let path = entry.path();
        let (key, kind) = match keys::place(&path) {
            Place::Carried(key, kind) => (key, kind),
            Place::Dropped(reason) => {
                if !entry.says_nothing() {
                    self.leave_out(path, reason);
                }
                return Ok(());
            }
            Place::Silent => return Ok(()),
        };
        if entry.says_nothing() {
            return Ok(());
        }
        if self.taken.contains(&key) {
            self.leave_out(
                path,
                &format!("another key of the file says what `{key}` is"),
            );
            return Ok(());
        }
        let value = match entry.convert(kind, self.folder) {
            Ok(Some(value)) => value,
            Ok(None) => {
                self.leave_out(
                    path,
                    "Kopia knows no method of this name; the default is used",
                );
                return Ok(());
            }
            Err(why) => return Err(self.refusal(entry, &why)),
        };
        match key {
            "kopia.kopia_params" => return self.repository(entry, &value),
            "kopia.password" if value.as_str().is_some_and(is_placeholder) => return Ok(()),
            "kopia.password" => self.password(entry),
            "kopia.password_file" => self.imported.has_password = true,
            _ => {}
        }
        self.check(entry, key, &value)?;
        self.put(key, value);
        self.taken.push(key);
        Ok(())
    }

    /// The parameters of the storage, secrets among them taken out.
    fn repository(&mut self, entry: &Entry, value: &Value) -> Result<()> {
        let text = value.as_str().unwrap_or_default();
        let params = KopiaParams::parse(text).map_err(|why| self.refusal(entry, &why))?;
        let (arguments, credentials) = params.split_secrets()?;
        let words = std::iter::once(params.backend.to_string()).chain(arguments);
        let text = shell_words::join(words);
        self.put("kopia.kopia_params", Value::from(text));
        self.taken.push("kopia.kopia_params");
        self.imported.credentials = credentials;
        self.imported.has_repository = true;
        Ok(())
    }

    fn password(&mut self, entry: &Entry) {
        self.imported.has_password = true;
        if entry.is_unescaped {
            self.imported.notes.push(
                "`%%` in the old password was read as `%`, as Python does; if the repository refuses it, correct `kopia.password`"
                    .to_owned(),
            );
        }
        if entry.value.as_str() == Some("kopia-docka") {
            self.imported.notes.push(
                "the password is the one that old versions came with, which everybody knows: run `kopi-docka change-password`"
                    .to_owned(),
            );
        }
    }

    /// It is a flag of Kopia's.
    fn startup_timeout(&mut self, entries: &[Entry]) {
        let timeout = entries
            .iter()
            .find(|entry| entry.path() == "kopia.rclone_startup_timeout");
        let Some(timeout) = timeout.and_then(|entry| entry.value.as_str()) else {
            return;
        };
        let place = self.imported.document.pointer_mut("/kopia/kopia_params");
        if let Some(Value::String(params)) = place
            && params.starts_with("rclone ")
            && !params.contains("--rclone-startup-timeout")
        {
            params.push_str(&format!(
                " --rclone-startup-timeout={}",
                shell_words::quote(timeout)
            ));
        }
    }

    /// Whether our configuration takes `value` there.
    fn check(&self, entry: &Entry, key: &str, value: &Value) -> Result<()> {
        let (section, name) = key.split_once('.').unwrap_or_default();
        let alone = serde_json::json!({ section: { name: value } });
        match serde_json::from_value::<Config>(alone) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refusal(entry, &error.to_string())),
        }
    }

    fn put(&mut self, key: &str, value: Value) {
        let keys: Vec<_> = key.split('.').collect();
        KeyPath::of(&keys).insert(&mut self.imported.document, value);
    }

    fn leave_out(&mut self, key: String, reason: &str) {
        let reason = reason.to_owned();
        self.imported.left_out.push(LeftOut { key, reason });
    }

    fn refusal(&self, entry: &Entry, why: &str) -> anyhow::Error {
        let line = match entry.line {
            Some(line) => format!(" line {line}:"),
            None => String::new(),
        };
        let message = format!("`{}`:{line} `{}`: {why}", self.name, entry.path());
        Failure::new(Exit::Config, message)
            .hint("correct or remove it there, then import again")
            .into()
    }
}

#[cfg(test)]
mod tests;
