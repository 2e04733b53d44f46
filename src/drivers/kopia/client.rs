//! One context that builds every call.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::failure;
use super::me::Me;
use crate::base::secret::Secret;
use crate::drivers::tool::{self, Finished, Spec};
use crate::error::{Exit, Failure, Result};

/// The oldest version that this driver was tested with.
pub const MINIMUM_VERSION: (u32, u32) = (0, 23);

/// How long a command that only asks may take.
pub const ASK_DEADLINE: Duration = Duration::from_secs(60);

const REMEDY: &str = "install Kopia 0.23 or newer (https://kopia.io/docs/installation/) so that `kopia` is on the PATH";

/// Where the storage is and how data is kept there, from our configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What follows `kopia repository create|connect`, without secrets.
    pub storage_args: Vec<String>,
    /// What else the storage reads from the environment, by the names that Kopia knows.
    pub environment: Vec<(String, Secret)>,
    /// Secrets of the storage, as environment variables that Kopia knows.
    pub storage_env: Vec<(&'static str, Secret)>,
    pub compression: String,
    pub encryption: String,
    pub hash: String,
    pub cache_size_mb: u64,
    pub me: Me,
}

#[derive(Clone, Debug)]
pub struct Kopia {
    pub program: PathBuf,
    /// Kopia's connection profile.
    pub profile: PathBuf,
    pub cache: PathBuf,
    pub password: Secret,
    pub settings: Settings,
    logs: PathBuf,
    home: PathBuf,
}

impl Kopia {
    /// Finds the program; runs nothing yet.
    pub fn new(
        profile_name: &str,
        cache: PathBuf,
        home: PathBuf,
        password: Secret,
        settings: Settings,
    ) -> Result<Self> {
        let program = find()?;
        let mut logs = cache.clone().into_os_string();
        logs.push(".logs");
        Ok(Self {
            logs: logs.into(),
            program,
            profile: profile_file(&home, profile_name),
            cache,
            password,
            settings,
            home,
        })
    }

    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Where the storage is, without secrets.
    pub fn location(&self) -> String {
        self.settings.storage_args.join(" ")
    }

    /// The part of the cache that is for indexes and directories.
    pub fn metadata_cache_mb(&self) -> u64 {
        (self.settings.cache_size_mb / 5).max(50)
    }

    /// The command line that connects another host to the storage, without secrets: they are asked for, or read from the
    /// variables of [`Kopia::storage_variables`].
    pub fn connect_command(&self) -> Vec<String> {
        let words = ["kopia", "repository", "connect"].map(str::to_owned);
        words
            .into_iter()
            .chain(self.settings.storage_args.iter().cloned())
            .collect()
    }

    /// The names of the environment variables that the storage needs.
    pub fn storage_variables(&self) -> Vec<&str> {
        let from_outside = self.settings.environment.iter();
        let from_outside = from_outside.map(|(name, _)| name.as_str());
        let configured = self.settings.storage_env.iter().map(|(name, _)| *name);
        let names: BTreeSet<_> = from_outside.chain(configured).collect();
        names.into_iter().collect()
    }

    /// Fails for a version that this driver does not know to work.
    pub async fn check_version(&self) -> Result<()> {
        check_version_of(&self.program).await.map(drop)
    }

    /// A call on the live profile.
    pub fn command(&self) -> Spec {
        self.command_on(&self.profile, &self.cache)
    }

    /// A call on another profile: a failed `connect` deletes the profile and the cache it was given.
    pub fn command_on(&self, profile: &Path, cache: &Path) -> Spec {
        let mut spec = Spec::new(&self.program)
            .arg(joined("--config-file=", profile.as_os_str()))
            .arg(joined("--log-dir=", self.logs.as_os_str()))
            // Debug logs of Kopia name every blob and grow without being read.
            .args(["--file-log-level=info", "--disable-content-log"])
            // Else a good snapshot exits 1 when maintenance fails, and maintenance runs when a backup should end.
            .arg("--no-auto-maintenance")
            .env("HOME", &self.home)
            .env("KOPIA_CACHE_DIRECTORY", cache)
            .env("KOPIA_PASSWORD", self.password.expose())
            .env("KOPIA_PERSIST_CREDENTIALS_ON_CONNECT", "false")
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .env("KOPIA_DISABLE_COLOR", "1");
        for (name, value) in &self.settings.environment {
            spec = spec.env(name, value.expose());
        }
        for (name, value) in &self.settings.storage_env {
            spec = spec.env(name, value.expose());
        }
        spec
    }

    /// Runs a command that only asks; an exit status other than 0 is a classified error.
    pub async fn ask(&self, spec: Spec) -> Result<Finished> {
        self.ask_within(spec, ASK_DEADLINE).await
    }

    pub async fn ask_within(&self, spec: Spec, deadline: Duration) -> Result<Finished> {
        let finished = tool::run(spec, deadline)
            .await
            .map_err(failure::unanswered)?;
        if finished.ended.status.success() {
            Ok(finished)
        } else {
            Err(failure::of(&finished.ended))
        }
    }
}

/// Where the program is.
pub fn find() -> Result<PathBuf> {
    tool::find("kopia", REMEDY)
}

/// The version of a `kopia`, such as `0.23.1`; fails for one that this driver does not know to work.
pub async fn check_version_of(program: &Path) -> Result<String> {
    let answer = tool::run(Spec::new(program).arg("--version"), ASK_DEADLINE).await?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    match parse_version(&text) {
        Some(version) if version >= MINIMUM_VERSION => {
            let word = text.split_whitespace().next().unwrap_or_default();
            Ok(word.trim_start_matches('v').to_owned())
        }
        Some((major, minor)) => Err(Failure::new(
            Exit::Program,
            format!(
                "Kopia {major}.{minor} at `{}` is too old",
                program.display()
            ),
        )
        .hint(REMEDY)
        .into()),
        None => Err(Failure::new(
            Exit::Program,
            format!(
                "`{} --version` did not tell a version: {}",
                program.display(),
                text.trim()
            ),
        )
        .hint(REMEDY)
        .into()),
    }
}

/// Where the connection of a profile is: never the user's own.
pub fn profile_file(home: &Path, profile_name: &str) -> PathBuf {
    home.join(".config/kopia")
        .join(format!("repository-{profile_name}.config"))
}

fn joined(flag: &str, value: &OsStr) -> OsString {
    let mut joined = OsString::from(flag);
    joined.push(value);
    joined
}

/// The JSON document in `finished`'s stdout.
pub fn parse_json<T: DeserializeOwned>(finished: &Finished) -> Result<T> {
    serde_json::from_slice(&finished.stdout).map_err(|error| {
        Failure::new(
            Exit::Program,
            format!(
                "the answer of `{}` is not what this version knows",
                finished.ended.display
            ),
        )
        .caused_by(error)
        .into()
    })
}

/// Major and minor of `0.23.1 build: …` and `v0.23.1 build: …`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let token = text.split_whitespace().next()?;
    let mut numbers = token.trim_start_matches('v').split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
impl Kopia {
    /// Shows what is in `folder`: the file `k1` there for `show k1/data`.
    pub fn stand_in(folder: &Path) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let program = folder.join("kopia");
        let text = format!(
            "#!/bin/sh\nfor what; do :; done\nexec cat \"{}/${{what%/data}}\"\n",
            folder.display()
        );
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            program,
            profile: folder.join("profile"),
            cache: folder.join("cache"),
            password: Secret::new("x"),
            settings: Settings {
                storage_args: Vec::new(),
                environment: Vec::new(),
                storage_env: Vec::new(),
                compression: String::new(),
                encryption: String::new(),
                hash: String::new(),
                cache_size_mb: 1,
                me: super::me::testing::me("kopi-docka@h"),
            },
            logs: folder.join("logs"),
            home: folder.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_releases_and_of_go_builds_are_read() {
        assert_eq!(
            parse_version("0.23.1 build: 0a1b from: kopia/kopia\n"),
            Some((0, 23))
        );
        assert_eq!(
            parse_version("v0.23.1 build: -(unknown_revision) from: \n"),
            Some((0, 23))
        );
        assert_eq!(parse_version("v0-unofficial build: x from: y"), None);
        assert_eq!(parse_version(""), None);
    }
}
