//! The credentials of the storage, as Kopia gets them.

use super::names;
use super::parse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::base::secret::Secret;
use crate::config::{Caller, check_secret};
use crate::error::{Exit, Failure, Result};

/// Far more than any backend needs.
const LARGEST_FILE: u64 = 1 << 20;

/// What the backends read, by the names that Kopia reads it under: from `file`, which may be missing, and from our own
/// environment, which wins.
pub fn environment(file: &Path) -> Result<Vec<(String, Secret)>> {
    let mut found = of_file(file)?;
    found.extend(by_kopias_names(own()?.into_iter()));
    Ok(found.into_iter().collect())
}

/// What `file` alone says.
pub fn of_file(file: &Path) -> Result<BTreeMap<String, Secret>> {
    let text = read(file)?;
    let assignments = parse::parse(&text, &file.display().to_string())?;
    let in_file = assignments
        .into_iter()
        .map(|assignment| (assignment.name, assignment.value));
    Ok(by_kopias_names(in_file))
}

/// Those of our own environment; an empty one says nothing.
fn own() -> Result<Vec<(String, Secret)>> {
    let mut own = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| names::is_passed_on(name)) else {
            continue;
        };
        let value = value.into_string().map_err(|_| {
            Failure::new(
                Exit::Config,
                format!("the environment variable `{name}` is not UTF-8 text"),
            )
        })?;
        if !value.is_empty() {
            own.push((name.to_owned(), Secret::new(value)));
        }
    }
    Ok(own)
}

/// The last of several with one name counts, but one that Kopia knows itself wins over one that we translate.
fn by_kopias_names(variables: impl Iterator<Item = (String, Secret)>) -> BTreeMap<String, Secret> {
    let mut direct = BTreeMap::new();
    let mut translated = BTreeMap::new();
    for (name, value) in variables.filter(|(name, _)| names::is_passed_on(name)) {
        match names::translated(&name) {
            Some(kopias) => translated.insert(kopias.to_owned(), value),
            None => direct.insert(name, value),
        };
    }
    translated.extend(direct);
    translated
}

/// Empty when there is no file.
pub fn read(file: &Path) -> Result<String> {
    let name = file.display();
    let unreadable = |error: std::io::Error| {
        let denied = error.kind() == ErrorKind::PermissionDenied;
        let failure = Failure::new(
            Exit::Config,
            format!("the credentials in `{name}` cannot be read"),
        )
        .caused_by(error);
        if denied {
            failure.hint("run the command with `sudo`")
        } else {
            failure
        }
    };
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(unreadable(error).into()),
    };
    let why = "it holds credentials of the storage";
    check_secret(&opened, file, why, &Caller::of_this_process())?;
    let mut bytes = Vec::new();
    opened
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let refuse = |what: &str| Failure::new(Exit::Config, format!("`{name}` {what}"));
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(refuse("is too large for a file of credentials").into());
    }
    String::from_utf8(bytes).map_err(|_| refuse("is not UTF-8 text").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kopia_gets_its_own_names_and_nothing_that_is_not_for_a_backend() {
        let variables = [
            ("PATH", "/evil"),
            ("LD_PRELOAD", "/evil.so"),
            ("KOPIA_PASSWORD", "evil"),
            ("B2_APPLICATION_KEY_ID", "id"),
            ("B2_APPLICATION_KEY", "old"),
            ("B2_KEY", "direct"),
            ("AWS_ACCESS_KEY_ID", "first"),
            ("AWS_ACCESS_KEY_ID", "last"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), Secret::new(value)));
        let found = by_kopias_names(variables.into_iter());
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        assert_eq!(
            found,
            [
                ("AWS_ACCESS_KEY_ID", "last"),
                ("B2_KEY", "direct"),
                ("B2_KEY_ID", "id")
            ]
        );
    }
}
