//! The repository of a configuration: the driver with the settings of the operator, and who this host is in it.

use chrono::{DateTime, Utc};

use super::credentials;
use super::machine::Machine;
use super::site::Site;
use crate::base::paths::Paths;
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::kopia::USER;
use crate::drivers::kopia::made::Made;
use crate::drivers::kopia::{
    Initialized, Kopia, Me, Named, RepositoryIdentity, Settings, Status, profile_file,
};
use crate::error::{Exit, Failure, Result};
use crate::model::Identity;
use crate::points::point::points;
use crate::points::whose::{ADOPT, Whose};

pub struct Repository {
    pub kopia: Kopia,
    pub identity: RepositoryIdentity,
    machine: Machine,
    /// The name of the configuration, when the host has another one since `init`.
    renamed: Option<String>,
    pub site: Site,
}

impl Repository {
    /// Finds kopia and reads the password; touches no repository.
    pub fn of(cx: &Context, config: &Config) -> Result<Self> {
        let paths = &cx.paths;
        let identity = remembered(paths, config);
        let host = host(paths, config, identity.host()?);
        let renamed = config.kopia.host.clone().filter(|wanted| *wanted != host);
        Self::new(paths, config, identity, host, renamed)
    }

    /// [`Repository::of`] for who calls [`Repository::init`], after which the name of the configuration is the host's.
    pub fn to_init(cx: &Context, config: &Config) -> Result<Self> {
        Self::to_connect(&cx.paths, config)
    }

    /// [`Repository::to_init`], with our own things at these places.
    pub fn to_connect(paths: &Paths, config: &Config) -> Result<Self> {
        let identity = remembered(paths, config);
        let host = match &config.kopia.host {
            Some(wanted) => wanted.clone(),
            None => host(paths, config, identity.host()?),
        };
        Self::new(paths, config, identity, host, None)
    }

    fn new(
        paths: &Paths,
        config: &Config,
        identity: RepositoryIdentity,
        host: String,
        renamed: Option<String>,
    ) -> Result<Self> {
        let params = &config.kopia.kopia_params;
        let (flags, storage_env) = params.split_secrets()?;
        let storage_args = std::iter::once(params.backend.to_string())
            .chain(flags)
            .collect();
        let machine = Machine::of(paths)?;
        let settings = Settings {
            storage_args,
            environment: credentials::environment(&paths.credentials)?,
            storage_env,
            compression: config.kopia.compression.clone(),
            encryption: config.kopia.encryption.clone(),
            hash: config.kopia.hash.clone(),
            cache_size_mb: config.kopia.cache_size_mb,
            me: Me {
                host,
                machine: machine.id.clone(),
                adopted: identity.adopted()?,
                made: Made::read(paths),
                adopted_profiles: identity.adopted_profiles()?,
                profile: config.profile().to_owned(),
            },
        };
        let kopia = Kopia::new(
            config.profile(),
            config.kopia_cache(),
            paths.home.clone(),
            config.password()?,
            settings,
        )?;
        Ok(Self {
            kopia,
            identity,
            machine,
            renamed,
            site: Site::of(paths, config),
        })
    }

    /// Creates the repository, or connects to the one that is there; says which it did.
    pub async fn init(&self, accept_new: bool) -> Result<(Initialized, Status)> {
        self.kopia.check_version().await?;
        self.machine.save()?;
        self.kopia.init(&self.identity, accept_new).await
    }

    /// Connects to the repository with this unique id, which must be there.
    pub async fn join(&self, unique_id: &str) -> Result<Status> {
        self.machine.save()?;
        let status = self.kopia.reach(unique_id).await?;
        self.kopia.settle_in(&self.identity, &status).await?;
        Ok(status)
    }

    /// What the operator should know of the existing points: sentences.
    pub async fn strangers(&self) -> Result<Vec<String>> {
        let points = points(&self.kopia.list().await?);
        let whose = Whose::of(&points, self.kopia.me(), None);
        let mut sentences = Vec::new();
        let count = points
            .iter()
            .filter(|point| whose.is_in_doubt(point))
            .count();
        if count > 0 {
            sentences.push(format!(
                "{} of another machine in the repository under the name of this one, `{}`: retention keeps them. If that machine still runs, \
                 set `kopia.host` to another name on one of the two and run `kopi-docka init` there; {ADOPT}",
                text::count(count, "restore point"),
                self.kopia.identity()
            ));
        }
        let profile = &self.kopia.me().profile;
        for other in whose.of_other_profiles(&points) {
            sentences.push(format!("{}; {}", other.sentence(profile), other.remedy()));
        }
        Ok(sentences)
    }

    /// This machine has replaced those that saved under its name: what they made is its own from now on. How many points that are.
    pub async fn adopt(&self) -> Result<usize> {
        let points = points(&self.kopia.list().await?);
        let whose = Whose::of(&points, self.kopia.me(), None);
        let count = points
            .iter()
            .filter(|point| whose.is_in_doubt(point))
            .count();
        self.identity.adopt(&whose.others(), Utc::now())?;
        Ok(count)
    }

    /// This configuration has taken the place of the one with `profile` on this host: what that made is its own from now on. How many
    /// points that are.
    pub async fn adopt_profile(&self, profile: &str) -> Result<usize> {
        let points = points(&self.kopia.list().await?);
        let whose = Whose::of(&points, self.kopia.me(), None);
        let count = whose
            .of_other_profiles(&points)
            .iter()
            .filter(|other| other.profile == profile)
            .map(|other| other.points)
            .sum();
        self.identity.adopt_profile(profile, Utc::now())?;
        Ok(count)
    }

    /// The repository answers, takes the password, and is the one of `init`.
    pub async fn open(&self) -> Result<Status> {
        // At once, since each costs the start of a process; but a version that is too old explains any other failure.
        let asking = async {
            let (version, status) =
                tokio::join!(self.kopia.check_version(), self.kopia.open(&self.identity));
            version.and(status)
        };
        self.site.opened(asking).await
    }

    /// For who writes into the opened repository: the name and the machine stay what they are now, and the policy of that name is
    /// in force.
    pub async fn settle(&self, status: &Status) -> Result<()> {
        if let Some(error) = self.rename() {
            return Err(error.into());
        }
        self.machine.save()?;
        self.identity.set_host(&self.kopia.me().host)?;
        self.kopia.refresh_name(status).await?;
        self.kopia.refresh_policy(&self.identity).await
    }

    /// Whether [`Repository::settle`] has nothing to write that a snapshot depends on.
    pub fn is_settled(&self) -> Result<bool> {
        Ok(self.renamed.is_none() && self.kopia.has_policy(&self.identity)?)
    }

    /// Set when the configuration names the host otherwise than the last `init`: a slip of a key must not begin a new history.
    pub fn rename(&self) -> Option<Failure> {
        let wanted = self.renamed.as_ref()?;
        Some(
            Failure::new(
                Exit::Config,
                format!(
                    "the configuration names this host `{wanted}` (`kopia.host`), but its restore points are those of `{}`",
                    self.kopia.identity()
                ),
            )
            .hint("run `kopi-docka init`: new points get the new name, older ones stay under the old one (`restore --host`)")
            .hint(format!(
                "to keep the old name, set `kopia.host` to `{}` or remove it",
                self.kopia.me().host
            )),
        )
    }
}

/// Whose the snapshots of this host are, without asking Kopia.
pub fn identity(paths: &Paths, config: &Config) -> Identity {
    let named = remembered(paths, config).host().unwrap_or(Named::Not);
    Identity::new(USER, &host(paths, config, named))
}

/// Whether there was an `init`.
pub fn is_known(paths: &Paths, config: &Config) -> bool {
    matches!(remembered(paths, config).unique_id(), Ok(Some(_)))
}

/// When the repository or whose points are this host's last became others; `None` where that is not known.
pub fn changed_at(paths: &Paths, config: &Config) -> Option<DateTime<Utc>> {
    remembered(paths, config).changed_at().ok().flatten()
}

fn remembered(paths: &Paths, config: &Config) -> RepositoryIdentity {
    RepositoryIdentity::of_profile(&paths.repositories(), config.profile())
}

/// This host in identities, whatever it is called today.
fn host(paths: &Paths, config: &Config, named: Named) -> String {
    match named {
        Named::As(host) => host,
        // What it asked for each time: the points of the last years are under it.
        Named::Unknown => {
            let name = host_name();
            name.split('.').next().unwrap_or(&name).to_owned()
        }
        Named::Not => config
            .kopia
            .host
            .clone()
            .or_else(|| connected_as(paths, config))
            // With its domain: `web` is the name of many.
            .unwrap_or_else(host_name),
    }
}

/// The name in a connection of ours whose state is gone.
fn connected_as(paths: &Paths, config: &Config) -> Option<String> {
    let bytes = std::fs::read(profile_file(&paths.home, config.profile())).ok()?;
    let profile: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    let is_ours = profile.get("username")?.as_str()? == crate::drivers::kopia::USER;
    let host = profile.get("hostname")?.as_str()?.to_lowercase();
    (is_ours && !host.is_empty()).then_some(host)
}

/// As Kopia would take it, in lower case.
fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase()
}
