//! The repository itself: its state, and how this host gets connected to it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rustix::fs::{RenameFlags, renameat_with};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Kopia, parse_json};
use super::failure::{self, Cause};
use super::identity::RepositoryIdentity;
use super::snapshot::TemporaryProfile;
use crate::drivers::tool::{self, Finished, Spec};
use crate::error::{Exit, Failure, Result};

/// The user part of every identity of ours.
pub const USER: &str = "kopi-docka";

/// For the first words with the storage. Kopia itself waits 134 s for an SFTP server whose packets are swallowed, and for ever for one
/// that is frozen; a Google client tries without an end.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(45);

/// What `kopia repository status --json` tells; secrets in `storage` are masked by Kopia.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(rename = "uniqueIDHex")]
    pub unique_id: String,
    pub client_options: ClientOptions,
    pub storage: Storage,
    /// Only for storage that can tell, such as a file system or SFTP.
    pub volume: Option<Volume>,
    pub content_format: ContentFormat,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ClientOptions {
    pub hostname: String,
    pub username: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Storage {
    #[serde(rename = "type")]
    pub kind: String,
    pub config: Value,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Volume {
    pub capacity: u64,
    pub available: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ContentFormat {
    pub hash: String,
    pub encryption: String,
}

/// What `init` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialized {
    Created,
    Connected,
    /// It was connected to the same repository before.
    AlreadyConnected,
}

impl Initialized {
    /// Up to the place.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Created => "Created a new repository in",
            Self::Connected => "Connected to the repository in",
            Self::AlreadyConnected => "Already connected to the repository in",
        }
    }
}

impl Status {
    /// `filesystem /backup/repo`, `s3 bucket`: for people.
    pub fn location(&self) -> String {
        let place = ["path", "bucket", "container", "url", "remotePath"]
            .iter()
            .find_map(|key| self.storage.config.get(key)?.as_str());
        let host = self.storage.config.get("host").and_then(Value::as_str);
        match (host, place) {
            (Some(host), Some(place)) => format!("{} {host}:{place}", self.storage.kind),
            (None, Some(place)) => format!("{} {place}", self.storage.kind),
            _ => self.storage.kind.clone(),
        }
    }
}

impl Kopia {
    /// Whether a profile is there; the repository is not asked.
    pub fn check_connected(&self) -> Result<()> {
        if self.profile.exists() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::NoRepository,
            "this host is not connected to a repository",
        )
        .hint("run `kopi-docka init`")
        .into())
    }

    pub async fn status(&self) -> Result<Status> {
        self.check_connected()?;
        let spec = self.command().args(["repository", "status", "--json"]);
        parse_json(&self.ask_within(spec, CONNECT_DEADLINE).await?)
    }

    /// [`Kopia::status`], and the repository is the one that the configuration and `identity` mean.
    pub async fn open(&self, identity: &RepositoryIdentity) -> Result<Status> {
        let status = self.status().await?;
        if let Some((wanted, connected)) = mismatch(&self.settings.storage_args, &status.storage) {
            return Err(Failure::new(
                Exit::Config,
                format!("the configuration names the storage `{wanted}`, but this host is connected to `{connected}`"),
            )
            .hint("run `kopi-docka init` to connect to the storage of the configuration")
            .into());
        }
        identity.check(&status)?;
        Ok(status)
    }

    /// Connects to the repository in the configured storage, or creates it when the storage is empty.
    ///
    /// A working profile is replaced only by one that works. `accept_new` allows another repository in the place of
    /// the remembered one.
    pub async fn init(
        &self,
        identity: &RepositoryIdentity,
        accept_new: bool,
    ) -> Result<(Initialized, Status)> {
        let location = self.location();
        // At once: one that does not answer is waited for only once.
        let (open, attached) = tokio::join!(self.open(identity), self.attach("connect", &[]));
        let was_connected_to = open.ok().map(|status| status.unique_id);
        let (temporary, connected) = attached?;
        let (temporary, created) = if connected.ended.status.success() {
            (temporary, false)
        } else {
            match failure::cause(&connected.ended.stderr) {
                Cause::NotInitialized => {}
                // Kopia makes the directory of a new repository itself.
                Cause::StorageUnreachable if self.may_create_folder() => {}
                _ => return Err(failure::of(&connected.ended)),
            }
            if !accept_new {
                identity.allow_creation(&location)?;
            }
            let (temporary, created) = self.attach("create", &[]).await?;
            if !created.ended.status.success() {
                return Err(failure::of(&created.ended));
            }
            (temporary, true)
        };
        let status = self.status_of(&temporary).await?;
        if !accept_new {
            identity.allow_connection(&location, &status)?;
        }
        self.install(&temporary.profile())?;
        self.settle_in(identity, &status).await?;
        let what = match was_connected_to {
            _ if created => Initialized::Created,
            Some(id) if id == status.unique_id => Initialized::AlreadyConnected,
            _ => Initialized::Connected,
        };
        Ok((what, status))
    }

    /// Connects to the repository with this unique id, which must be there; nothing is written into it, and nothing is created.
    pub async fn reach(&self, unique_id: &str) -> Result<Status> {
        let (temporary, connected) = self.attach("connect", &[]).await?;
        if !connected.ended.status.success() {
            return Err(failure::of(&connected.ended));
        }
        let status = self.status_of(&temporary).await?;
        if status.unique_id != unique_id {
            return Err(Failure::new(
                Exit::Unexpected,
                format!(
                    "another repository is there: expected {unique_id}, found {}",
                    status.unique_id
                ),
            )
            .into());
        }
        self.install(&temporary.profile())?;
        Ok(status)
    }

    async fn status_of(&self, temporary: &TemporaryProfile) -> Result<Status> {
        let spec = self
            .command_on(&temporary.profile(), &temporary.cache())
            .args(["repository", "status", "--json"]);
        parse_json(&self.ask(spec).await?)
    }

    /// After a connection: what this host keeps in the repository, and what it remembers of it.
    pub async fn settle_in(&self, identity: &RepositoryIdentity, status: &Status) -> Result<()> {
        self.import_policy().await?;
        let (location, host) = (self.location(), &self.settings.me.host);
        identity.remember(&location, &self.policy(), host, status)
    }

    /// Kopia's connection names this host as we do: that name must own the maintenance that it does.
    pub async fn refresh_name(&self, status: &Status) -> Result<()> {
        let client = &status.client_options;
        if client.username == USER && client.hostname == self.settings.me.host {
            return Ok(());
        }
        let spec = self
            .command()
            .args(["repository", "set-client"])
            .arg(format!("--username={USER}"))
            .arg(format!("--hostname={}", self.settings.me.host));
        self.ask_within(spec, CONNECT_DEADLINE).await.map(drop)
    }

    /// `kopia repository <verb>` into a profile and a cache of its own, `also` with these flags.
    pub async fn attach(
        &self,
        verb: &str,
        also: &[String],
    ) -> Result<(TemporaryProfile, Finished)> {
        let temporary = self.temporary_profile()?;
        let mut spec = self
            .command_on(&temporary.profile(), &temporary.cache())
            .args(["repository", verb])
            .args(&self.settings.storage_args)
            .args(also)
            .arg(format!(
                "--content-cache-size-mb={}",
                self.settings.cache_size_mb
            ))
            .arg(format!(
                "--metadata-cache-size-mb={}",
                self.metadata_cache_mb()
            ))
            // With it a vanished or swapped repository would go unnoticed for 15 minutes.
            .arg("--disable-repository-format-cache")
            .arg("--no-check-for-updates")
            .arg(format!("--override-username={USER}"))
            .arg(format!("--override-hostname={}", self.settings.me.host));
        if verb == "create" {
            spec = self.format_flags(spec);
        }
        let finished = tool::run(spec, CONNECT_DEADLINE)
            .await
            .map_err(failure::unanswered)?;
        Ok((temporary, finished))
    }

    fn format_flags(&self, spec: Spec) -> Spec {
        spec.arg(format!("--block-hash={}", self.settings.hash))
            .arg(format!("--encryption={}", self.settings.encryption))
    }

    fn may_create_folder(&self) -> bool {
        flag(&self.settings.storage_args, "path").is_some_and(|path| !Path::new(path).exists())
            && self
                .settings
                .storage_args
                .first()
                .is_some_and(|kind| kind == "filesystem")
    }

    /// Puts a profile that works in its place, with the live cache.
    fn install(&self, working: &Path) -> Result<()> {
        let text = std::fs::read(working)
            .with_context(|| format!("cannot read `{}`", working.display()))?;
        let mut profile: Value =
            serde_json::from_slice(&text).context("kopia wrote a profile that cannot be read")?;
        if let Some(caching) = profile.get_mut("caching").and_then(Value::as_object_mut) {
            caching.insert(
                "cacheDirectory".into(),
                self.cache.to_string_lossy().into_owned().into(),
            );
        }
        crate::base::files::make_private_folder(&self.cache)?;
        // Its time tells when the connection changed: not at each `init`.
        let known = std::fs::read(&self.profile).ok();
        let known = known.and_then(|known| serde_json::from_slice::<Value>(&known).ok());
        if known.as_ref() == Some(&profile) {
            return Ok(());
        }
        std::fs::write(working, serde_json::to_vec_pretty(&profile)?)?;
        std::fs::File::open(working)?.sync_all()?;
        renameat_with(
            rustix::fs::CWD,
            working,
            rustix::fs::CWD,
            &self.profile,
            RenameFlags::empty(),
        )
        .with_context(|| format!("cannot replace `{}`", self.profile.display()))
    }
}

/// What the configuration wants and what is connected, when they differ.
fn mismatch(args: &[String], storage: &Storage) -> Option<(String, String)> {
    /// Flags that say where the data is, and the keys that Kopia keeps them under.
    const PLACES: [(&str, &str); 8] = [
        ("path", "path"),
        ("bucket", "bucket"),
        ("container", "container"),
        ("host", "host"),
        ("url", "url"),
        ("remote-path", "remotePath"),
        ("endpoint", "endpoint"),
        ("storage-account", "storageAccount"),
    ];
    let kind = match args.first().map(String::as_str) {
        Some("azure") => "azureBlob",
        Some(kind) => kind,
        None => return None,
    };
    if kind != storage.kind {
        return Some((kind.to_owned(), storage.kind.clone()));
    }
    let is = |key: &str| storage.config.get(key).and_then(Value::as_str);
    for (name, key) in PLACES {
        if let Some(wanted) = flag(args, name)
            && let Some(connected) = is(key)
            && wanted.trim_end_matches('/') != connected.trim_end_matches('/')
        {
            return Some((wanted.to_owned(), connected.to_owned()));
        }
    }
    let (wanted, connected) = (
        flag(args, "prefix").unwrap_or_default(),
        is("prefix").unwrap_or_default(),
    );
    (wanted != connected).then(|| (format!("prefix {wanted}"), format!("prefix {connected}")))
}

/// The value of `--name=value` or `--name value`.
pub fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let long = format!("--{name}");
    args.iter().enumerate().find_map(|(index, arg)| {
        let rest = arg.strip_prefix(&long)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => args.get(index + 1).map(String::as_str),
            None => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_configuration_that_points_elsewhere_is_noticed() {
        let storage = Storage {
            kind: "filesystem".to_owned(),
            config: serde_json::json!({"path": "/a/repo"}),
        };
        assert_eq!(
            mismatch(&args("filesystem --path=/a/repo/"), &storage),
            None
        );
        assert!(mismatch(&args("filesystem --path /b"), &storage).is_some());
        assert!(mismatch(&args("s3 --bucket x"), &storage).is_some());
        let storage = Storage {
            kind: "s3".to_owned(),
            config: serde_json::json!({"bucket": "x", "prefix": "h1/"}),
        };
        assert_eq!(
            mismatch(&args("s3 --bucket x --prefix h1/"), &storage),
            None
        );
        assert!(mismatch(&args("s3 --bucket x"), &storage).is_some());
    }
}
