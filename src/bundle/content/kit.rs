//! `recover.sh`, and what it reads: everything that it would have to work out, as text that a shell takes as it is.

use anyhow::Context as _;
use serde_json::Value;

use super::credentials::Credentials;
use super::origin::Origin;
use super::systemd;
use crate::bundle::file::archive::Member;
use crate::config::{self, Config};
use crate::drivers::kopia::MINIMUM_VERSION;
use crate::error::Result;
use crate::repository::Repository;

const SCRIPT: &str = include_str!("../../../templates/recover.sh");

/// Marks, each in the place of a string of JSON.
pub const PARAMS: &str = "@PARAMS@";
pub const LOCATION: &str = "@LOCATION@";
pub const HOST: &str = "@HOST@";
pub const NOW: &str = "@NOW@";

/// What a new host remembers of the repository; and one that takes the place of the lost one.
pub const STATE: &str = "recover/repository.json";
pub const STATE_TAKEN_OVER: &str = "recover/repository-taken-over.json";

/// Variables of the storage whose value is a file of the bundle, with its path.
pub const NAMED: &str = "recover/variables";

pub struct Kit<'a> {
    pub config: &'a Config,
    pub config_text: &'a [u8],
    pub repository: &'a Repository,
    pub origin: &'a Origin,
    pub credentials: &'a Credentials,
    /// Of this host's timer.
    pub is_timed: bool,
}

impl Kit<'_> {
    pub fn members(&self) -> Result<Vec<Member>> {
        let mut script = Member::new("recover.sh", SCRIPT);
        script.is_executable = true;
        let document = config::document_of(self.config_text)?;
        let arguments = &self.repository.kopia.settings.storage_args;
        let variables = &self.credentials.named_by;
        Ok(vec![
            script,
            Member::new("recover/values", self.values()?),
            Member::new("recover/arguments", lines(arguments.iter().cloned())?),
            Member::new(
                NAMED,
                lines(
                    variables
                        .iter()
                        .map(|(name, path)| format!("{name}\t{}", path.display())),
                )?,
            ),
            Member::new(
                "recover/kopi-docka-unnamed.json",
                config::text_of(&unnamed(document.clone()))?,
            ),
            Member::new(
                "recover/kopi-docka-elsewhere.json",
                config::text_of(&elsewhere(document, PARAMS))?,
            ),
            self.state(STATE, false)?,
            self.state(STATE_TAKEN_OVER, true)?,
        ])
    }

    fn state(&self, member: &str, takes_over: bool) -> Result<Member> {
        let gone = takes_over.then_some(&self.origin.machine);
        let state = self
            .repository
            .identity
            .for_new_host(HOST, LOCATION, gone, NOW)?
            .context("there is no repository that a recovery bundle could lead to")?;
        Ok(Member::new(member, config::text_of(&state)?))
    }

    fn values(&self) -> Result<String> {
        let origin = self.origin;
        let kopia = &self.repository.kopia;
        let state = self.repository.identity.file().to_string_lossy();
        let cache_mb = kopia.settings.cache_size_mb.to_string();
        let metadata_cache_mb = kopia.metadata_cache_mb().to_string();
        let (major, minor) = MINIMUM_VERSION;
        let yes = |is: bool| if is { "yes" } else { "no" };
        let values = [
            ("host", origin.host.as_str()),
            ("machine", origin.machine.as_str()),
            ("unique_id", &origin.repository.unique_id),
            ("config_file", &origin.config_file.to_string_lossy()),
            ("kopia_config", &origin.kopia_config_file.to_string_lossy()),
            ("cache", &kopia.cache.to_string_lossy()),
            ("state_file", &state),
            ("version", &origin.versions.kopi_docka),
            ("kopia_major", &major.to_string()),
            ("kopia_minor", &minor.to_string()),
            ("content_cache", &cache_mb),
            ("metadata_cache", &metadata_cache_mb),
            ("names_host", yes(self.config.kopia.host.is_some())),
            ("is_timed", yes(self.is_timed)),
        ];
        lines(
            values
                .iter()
                .map(|(name, value)| format!("{name}={}", shell_words::quote(value))),
        )
    }
}

/// Fails for what would be more than one line.
fn lines(all: impl Iterator<Item = String>) -> Result<String> {
    let mut text = String::new();
    for line in all {
        anyhow::ensure!(
            !line.contains('\n'),
            "a recovery bundle cannot hold a name with a line break: `{}`",
            line.escape_debug()
        );
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// The configuration of a host that is not the lost one.
pub fn unnamed(mut document: Value) -> Value {
    config::forget_host(&mut document);
    document
}

/// The configuration of a host that finds the repository at another address. Its name is in what it remembers.
pub fn elsewhere(document: Value, kopia_params: &str) -> Value {
    let mut document = unnamed(document);
    config::set_repository(&mut document, kopia_params, None);
    document
}

/// Whether the timer was enabled, in the words of [`systemd`].
pub fn tells_timer(member: &Member) -> bool {
    member.name == systemd::STATE
        && String::from_utf8_lossy(&member.content)
            .lines()
            .any(|line| line == systemd::TIMER_ENABLED)
}
