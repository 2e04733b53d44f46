//! What a bundle is of: `host.json` in it.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::config::Loaded;
use crate::drivers::docker::Engine;
use crate::drivers::kopia;
use crate::error::{Exit, Failure, Result};
use crate::model::MachineId;
use crate::repository::Repository;

use crate::bundle::file::name::BundleName;

pub const FILE: &str = "host.json";

/// Fields are only ever added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    pub format: u32,
    pub made_at: DateTime<Utc>,
    /// In the identity of its restore points.
    pub host: String,
    pub machine: MachineId,
    /// Where the configuration was.
    pub config_file: PathBuf,
    /// The profile of the configuration.
    pub profile: String,
    /// Where Kopia had its connection.
    pub kopia_config_file: PathBuf,
    pub repository: RepositoryOf,
    pub versions: Versions,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RepositoryOf {
    pub unique_id: String,
    /// What follows `kopia repository connect`, without secrets.
    pub connect: Vec<String>,
    /// The variables that the storage needs besides.
    pub variables: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Versions {
    pub kopi_docka: String,
    pub kopia: String,
    /// `None` when Docker did not answer.
    pub docker: Option<String>,
}

impl Origin {
    /// The repository need not answer, but it must be known.
    pub async fn of(loaded: &Loaded, repository: &Repository, bundle: BundleName) -> Result<Self> {
        let kopia = &repository.kopia;
        let unique_id = repository.identity.unique_id()?.ok_or_else(|| {
            Failure::new(
                Exit::NoRepository,
                "there is no repository that a recovery bundle could lead to",
            )
            .hint("run `kopi-docka init` first")
        })?;
        let engine = Engine::connect(&loaded.config.docker.socket).await.ok();
        let connect = kopia.settings.storage_args.clone();
        let variables = kopia.storage_variables();
        Ok(Self {
            format: 1,
            made_at: bundle.id.time(),
            host: kopia.me().host.clone(),
            machine: kopia.me().machine.clone(),
            config_file: std::path::absolute(&loaded.path)?,
            profile: loaded.config.profile().to_owned(),
            kopia_config_file: kopia.profile().to_owned(),
            repository: RepositoryOf {
                unique_id,
                connect,
                variables: variables.into_iter().map(str::to_owned).collect(),
            },
            versions: Versions {
                kopi_docka: env!("CARGO_PKG_VERSION").to_owned(),
                kopia: kopia::check_version_of(&kopia.program).await?,
                docker: engine.map(|engine| engine.version().to_owned()),
            },
        })
    }
}
