//! Which file is the configuration, and how it becomes a [`Config`].

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::parse::{Document, check_paths};
use super::permissions::{self, Caller};
use super::profile;
use super::schema::{Config, Kopia};
use super::unknown::Unknown;
use super::value::expand_home;
use crate::base::paths::Paths;
use crate::error::{Exit, Failure, Result};

pub const SYSTEM_FILE: &str = "/etc/kopi-docka.json";

/// Far more than any configuration needs.
const LARGEST_FILE: u64 = 4 << 20;

#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file it was read from, absolute.
    pub path: PathBuf,
    /// Such as unknown keys, each with its JSON path.
    pub warnings: Vec<String>,
    /// Keys that mean nothing to this program.
    pub unknown: Vec<Unknown>,
}

impl Loaded {
    /// The configuration in force as one document, defaults filled in, secrets masked, unknown keys at their places.
    pub fn document(&self) -> Value {
        let mut document = serde_json::to_value(&self.config).unwrap_or_default();
        for unknown in &self.unknown {
            unknown.path.insert(&mut document, unknown.value.clone());
        }
        document
    }
}

/// Reads the file that was asked for, else the system's, else the user's.
///
/// A file that is there but cannot be read ends the search with an error: going on to the next one would work on
/// another repository without anybody noticing.
pub fn load(paths: &Paths, explicit: Option<&Path>) -> Result<Loaded> {
    search(
        &standard_files(&paths.home),
        explicit,
        &paths.home,
        &Caller::of_this_process(),
    )
}

/// Where a configuration is looked for when none is named, in this order.
pub fn standard_files(home: &Path) -> [PathBuf; 2] {
    [
        PathBuf::from(SYSTEM_FILE),
        home.join(".config/kopi-docka/config.json"),
    ]
}

/// Whether there is one at a standard place, readable or not.
pub fn is_any(paths: &Paths) -> bool {
    let files = standard_files(&paths.home);
    files.iter().any(|file| file.symlink_metadata().is_ok())
}

/// [`load`] with everything that it depends on.
fn search(
    standard: &[PathBuf],
    explicit: Option<&Path>,
    home: &Path,
    caller: &Caller,
) -> Result<Loaded> {
    if let Some(path) = explicit {
        let path = std::path::absolute(path)?;
        return match open(&path)? {
            Some(file) => {
                let profile = default_profile(&path, standard);
                read(file, path, &profile, home, caller)
            }
            None => Err(no_file(&format!(
                "the configuration `{}` does not exist",
                path.display()
            ))),
        };
    }
    for path in standard {
        if let Some(file) = open(path)? {
            return read(file, path.clone(), &Kopia::default().profile, home, caller);
        }
    }
    let list: Vec<_> = standard
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    Err(no_file(&format!(
        "there is no configuration, neither {}",
        list.join(" nor ")
    )))
}

fn no_file(message: &str) -> anyhow::Error {
    Failure::new(Exit::Config, message)
        .hint(
            "run `kopi-docka setup`, which goes from here to the first backup, or `kopi-docka new-config`, which only writes the \
             configuration; or name yours with `--config FILE`",
        )
        .into()
}

/// What the profile of the configuration at `path` is when it says nothing.
fn default_profile(path: &Path, standard: &[PathBuf]) -> String {
    let default = Kopia::default().profile;
    if standard.iter().any(|file| is_same(file, path)) {
        return default;
    }
    profile::of_file(path).unwrap_or(default)
}

/// Where a configuration is, or is to be: the one that was asked for, else the one in force, else the system's.
pub fn target(paths: &Paths, explicit: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = explicit {
        return Ok(std::path::absolute(path)?);
    }
    let standard = standard_files(&paths.home);
    let in_force = standard
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok());
    Ok(in_force.unwrap_or_else(|| SYSTEM_FILE.into()))
}

/// What `text` would be, were it the configuration at `path`. Its place is checked, what is there now is not.
pub fn check(paths: &Paths, path: &Path, text: &[u8]) -> Result<Loaded> {
    let profile = default_profile(path, &standard_files(&paths.home));
    let document = Document::parse(text, &path.display().to_string())?;
    understand(document, path.to_owned(), &profile, &paths.home)
}

/// The profile that a new configuration at `path` has.
pub fn profile_at(paths: &Paths, path: &Path) -> String {
    default_profile(path, &standard_files(&paths.home))
}

/// Whether both are one file, however they are spelled: naming a standard file does not make it another one.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!(
            (one.canonicalize(), other.canonicalize()),
            (Ok(one), Ok(other)) if one == other
        )
}

/// `None` when nothing is there.
fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        // A symbolic link to nowhere is there: it was meant to be the configuration.
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                && path.symlink_metadata().is_err() =>
        {
            Ok(None)
        }
        Err(error) => Err(unreadable(path, error)),
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> anyhow::Error {
    let denied = error.kind() == ErrorKind::PermissionDenied;
    let failure = Failure::new(
        Exit::Config,
        format!("the configuration `{}` cannot be read", path.display()),
    )
    .caused_by(error);
    if denied {
        failure.hint("run the command with `sudo`").into()
    } else {
        failure.into()
    }
}

fn read(
    mut file: File,
    path: PathBuf,
    profile: &str,
    home: &Path,
    caller: &Caller,
) -> Result<Loaded> {
    permissions::check_trusted(&file, &path, caller)?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&path, error))?;
    let name = path.display().to_string();
    if bytes.len() as u64 > LARGEST_FILE {
        let message = format!("`{name}` is too large for a configuration");
        return Err(Failure::new(Exit::Config, message).into());
    }
    let document = Document::parse(&bytes, &name)?;
    if document.holds_secret() {
        permissions::check_secret(&file, &path, "it holds a secret", caller)?;
    }
    understand(document, path, profile, home)
}

fn understand(document: Document, path: PathBuf, profile: &str, home: &Path) -> Result<Loaded> {
    let unknown = document.unknown.clone();
    let (mut config, warnings) = document.into_config(profile)?;
    resolve_paths(&mut config, home, &path);
    check_paths(&config, &path.display().to_string())?;
    Ok(Loaded {
        config,
        path,
        warnings,
        unknown,
    })
}

/// Makes every path absolute: `~/` is the home directory, and a password file lies beside the configuration.
fn resolve_paths(config: &mut Config, home: &Path, file: &Path) {
    let paths = [
        Some(&mut config.kopia.cache_directory),
        config.kopia.password_file.as_mut(),
        Some(&mut config.backup.base_path),
        Some(&mut config.backup.recovery_bundle_path),
        config.backup.recovery_bundle_copy.as_mut(),
        Some(&mut config.backup.spool.directory),
        Some(&mut config.docker.socket),
        config.logging.file.as_mut(),
        config.metrics.textfile.as_mut(),
    ];
    let of_targets = config.notify.iter_mut().flat_map(|target| {
        [
            target.url_file.as_mut(),
            target.ca_file.as_mut(),
            target.token_file.as_mut(),
            target.hmac_file.as_mut(),
            target.password_file.as_mut(),
        ]
    });
    for path in paths.into_iter().chain(of_targets).flatten() {
        *path = expand_home(path, home);
    }
    config.kopia.kopia_params.expand_home(home);
    if let (Some(password), Some(folder)) = (&mut config.kopia.password_file, file.parent()) {
        *password = folder.join(&*password);
    }
}

#[cfg(test)]
mod tests;
