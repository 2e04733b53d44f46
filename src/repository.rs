//! The repository of a configuration: the driver with the settings of the operator.

use crate::config::Config;
use crate::context::Context;
use crate::credentials;
use crate::error::Result;
use crate::kopia::{Identity, Initialized, Kopia, Settings, Status, USER};

pub struct Repository {
    pub kopia: Kopia,
    pub identity: Identity,
}

impl Repository {
    /// Finds kopia and reads the password; touches no repository.
    pub fn of(cx: &Context, config: &Config) -> Result<Self> {
        let params = &config.kopia.kopia_params;
        let (flags, storage_env) = params.split_secrets()?;
        let storage_args = std::iter::once(params.backend.to_string())
            .chain(flags)
            .collect();
        let settings = Settings {
            storage_args,
            environment: credentials::environment(&cx.paths.credentials)?,
            storage_env,
            compression: config.kopia.compression.clone(),
            encryption: config.kopia.encryption.clone(),
            hash: config.kopia.hash.clone(),
            cache_size_mb: config.kopia.cache_size_mb,
            host: host_name(),
        };
        let kopia = Kopia::new(
            config.profile(),
            config.kopia_cache(),
            cx.paths.home.clone(),
            config.password()?,
            settings,
        )?;
        Ok(Self {
            kopia,
            identity: Identity::of_profile(&cx.paths.repositories(), config.profile()),
        })
    }

    /// Creates the repository, or connects to the one that is there; says which it did.
    pub async fn init(&self, accept_new: bool) -> Result<(Initialized, Status)> {
        self.kopia.check_version().await?;
        self.kopia.init(&self.identity, accept_new).await
    }

    /// The repository answers, takes the password, and is the one of `init`.
    pub async fn open(&self) -> Result<Status> {
        // At once, since each costs the start of a process; but a version that is too old explains any other failure.
        let (version, status) =
            tokio::join!(self.kopia.check_version(), self.kopia.open(&self.identity));
        version.and(status)
    }
}

/// Whose the snapshots of this host are.
pub fn identity() -> String {
    format!("{USER}@{}", host_name())
}

/// This host in identities: as Kopia would take it, in lower case and without a domain.
fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_lowercase();
    name.split('.').next().unwrap_or(&name).to_owned()
}
