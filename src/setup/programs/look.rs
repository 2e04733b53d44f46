//! What is there, in which version, and what is missing.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::drivers::docker::Engine;
use crate::drivers::docker::cli::compose_version;
use crate::drivers::kopia;
use crate::drivers::tar::Tar;
use crate::drivers::tool::{self, Spec};
use crate::error::Result;

/// How long a program may take to say its version.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    Tar,
    Kopia,
    Docker,
    Compose,
    Openssl,
    Ssh,
}

impl Dependency {
    pub const ALL: [Self; 6] = [
        Self::Tar,
        Self::Kopia,
        Self::Docker,
        Self::Compose,
        Self::Openssl,
        Self::Ssh,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "GNU tar",
            Self::Kopia => "Kopia",
            Self::Docker => "Docker Engine",
            Self::Compose => "Docker Compose plugin",
            Self::Openssl => "OpenSSL",
            Self::Ssh => "OpenSSH client",
        }
    }

    pub fn minimum(self) -> Option<String> {
        match self {
            Self::Kopia => {
                let (major, minor) = kopia::MINIMUM_VERSION;
                Some(format!("{major}.{minor}"))
            }
            Self::Docker => Some("20.10 (API 1.41)".to_owned()),
            Self::Compose => Some("2".to_owned()),
            Self::Tar | Self::Openssl | Self::Ssh => None,
        }
    }

    /// What cannot be done without it.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Tar => "reads and writes what is saved",
            Self::Kopia => "stores what is saved",
            Self::Docker => "runs the containers",
            Self::Compose => "only for `restore --up`",
            Self::Openssl => "only to open a recovery bundle by hand",
            Self::Ssh => "to set up a repository over SFTP",
        }
    }

    /// Nothing works without it.
    pub fn is_required(self, config: Option<&Config>) -> bool {
        match self {
            Self::Tar | Self::Kopia | Self::Docker => true,
            Self::Compose | Self::Openssl => false,
            Self::Ssh => config.is_some_and(|config| config.kopia.kopia_params.needs_ssh_program()),
        }
    }

    /// It may be needed here.
    pub fn is_of_use(self, config: Option<&Config>) -> bool {
        self != Self::Ssh || config.is_some_and(|config| config.kopia.kopia_params.is_over_ssh())
    }
}

#[derive(Clone, Debug)]
pub struct Found {
    pub dependency: Dependency,
    pub state: State,
}

#[derive(Clone, Debug)]
pub enum State {
    Good {
        version: String,
        path: PathBuf,
    },
    Missing,
    /// It is there, but no help: too old, another one, not running. The error of its use.
    Unfit(String),
}

/// What `install-deps` would bring.
#[derive(Clone, Debug, Serialize)]
pub struct Missing {
    pub dependency: Dependency,
    pub why: String,
    pub is_required: bool,
}

/// Looks at all of them at once. Without a configuration Docker is asked at its usual socket.
pub async fn look(config: Option<&Config>) -> Vec<Found> {
    let (tar, kopia, docker, compose, openssl, ssh) = tokio::join!(
        tar(),
        kopia(),
        docker(config),
        compose(),
        other("openssl", "version"),
        other("ssh", "-V"),
    );
    let states = [tar, kopia, docker, compose, openssl, ssh];
    Dependency::ALL
        .into_iter()
        .zip(states)
        .map(|(dependency, state)| Found { dependency, state })
        .collect()
}

/// What is missing or too old, as far as installing can help: a Docker that is there and does not run is not installed again.
pub async fn missing(config: Option<&Config>) -> Vec<Missing> {
    let found = look(config).await.into_iter();
    let missing = found.filter_map(|Found { dependency, state }| {
        let is_required = dependency.is_required(config);
        let why = match state {
            State::Good { .. } => return None,
            State::Unfit(_) if dependency == Dependency::Docker => return None,
            State::Missing if !dependency.is_of_use(config) => return None,
            State::Missing => "not installed".to_owned(),
            State::Unfit(why) => why,
        };
        Some(Missing {
            dependency,
            why,
            is_required,
        })
    });
    missing.collect()
}

async fn tar() -> State {
    let Ok(path) = tool::find("tar", "") else {
        return State::Missing;
    };
    judged(within(Tar::find()).await.map(|tar| State::Good {
        version: tar.version().to_owned(),
        path,
    }))
}

async fn kopia() -> State {
    let Ok(path) = kopia::find() else {
        return State::Missing;
    };
    judged(
        within(kopia::check_version_of(&path))
            .await
            .map(|version| State::Good { version, path }),
    )
}

async fn docker(config: Option<&Config>) -> State {
    let default = Config::default();
    let socket = &config.unwrap_or(&default).docker.socket;
    match Engine::connect(socket).await {
        Ok(engine) => State::Good {
            version: format!("{} (API {})", engine.version(), engine.api()),
            path: socket.clone(),
        },
        Err(error) => {
            let is_there = socket.symlink_metadata().is_ok() || tool::find("dockerd", "").is_ok();
            if is_there {
                State::Unfit(format!("{error:#}"))
            } else {
                State::Missing
            }
        }
    }
}

async fn compose() -> State {
    let Ok(path) = tool::find("docker", "") else {
        return State::Missing;
    };
    match within(compose_version()).await {
        Ok(Some(version)) => State::Good { version, path },
        Ok(None) => State::Missing,
        Err(error) => State::Unfit(format!("{error:#}")),
    }
}

/// A program that is only asked for its version.
async fn other(program: &str, flag: &str) -> State {
    let Ok(path) = tool::find(program, "") else {
        return State::Missing;
    };
    let asked = tool::run(Spec::new(&path).arg(flag), PATIENCE).await;
    judged(asked.map(|finished| {
        let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
        // `ssh -V` says it on stderr.
        let said = format!("{stdout}\n{}", finished.ended.stderr);
        let first = said.lines().find(|line| !line.trim().is_empty());
        State::Good {
            version: first.unwrap_or_default().trim().to_owned(),
            path,
        }
    }))
}

fn judged(looked: Result<State>) -> State {
    looked.unwrap_or_else(|error| State::Unfit(format!("{error:#}")))
}

/// The operator waits: one that hangs is reported as such.
async fn within<T>(asked: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(anyhow::anyhow!(
            "it did not say its version within {} s",
            PATIENCE.as_secs()
        )),
    }
}
