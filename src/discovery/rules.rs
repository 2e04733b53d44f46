//! What the configuration has to say about discovery, freed of the configuration's own shape.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::paths::Paths;
use crate::config::{Backend, BindMode as ConfiguredMode, Config, KopiaParams};

/// `Rules::default()` saves everything that can be saved.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Patterns for `tar --exclude`, for every source of every unit.
    pub exclude_patterns: Vec<String>,
    pub binds: BindRules,
    /// Where the repository is, when it is on this host.
    pub repository: Option<PathBuf>,
    /// Where it is when it is not.
    pub endpoint: Option<Endpoint>,
    /// Other directories of ours: cache, spool, state, reports, recovery bundles.
    pub own_paths: Vec<PathBuf>,
    /// By the unit's name.
    pub units: BTreeMap<String, UnitRules>,
}

/// The server of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, Default)]
pub struct UnitRules {
    /// Wins over the label `kopi-docka.enable`.
    pub enabled: Option<bool>,
    /// Added to the global ones.
    pub exclude_patterns: Vec<String>,
    /// `None`: as the global rules say.
    pub bind_mode: Option<BindMode>,
    /// Applied before the global ones, so that a unit can take back what holds for all.
    pub bind_include: Vec<String>,
    pub bind_exclude: Vec<String>,
    /// `None`: as the global rules say.
    pub max_bind_bytes: Option<u64>,
}

/// Globs are matched against the bind's absolute path on the host and everything above it: see
/// [`globs`](super::globs).
#[derive(Clone, Debug, Default)]
pub struct BindRules {
    pub mode: BindMode,
    /// With [`BindMode::All`]: what is saved although it looks like the operating system's, or is too large.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Larger binds are left out; `None` is no limit.
    pub max_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BindMode {
    /// Every bind that is not excluded.
    #[default]
    All,
    /// Only what an `include` names.
    Include,
    None,
}

impl Rules {
    /// What `config` says, with everything of ours that must not end in a backup of itself.
    pub fn of(config: &Config, paths: &Paths) -> Self {
        let backup = &config.backup;
        Self {
            exclude_patterns: texts(&backup.exclude_patterns),
            binds: BindRules {
                mode: mode(backup.bind_mounts.mode),
                include: texts(&backup.bind_mounts.include),
                exclude: texts(&backup.bind_mounts.exclude),
                max_bytes: backup.bind_mounts.max_size,
            },
            repository: config.kopia.kopia_params.local_path(),
            endpoint: endpoint(&config.kopia.kopia_params),
            own_paths: [
                &config.kopia.cache_directory,
                &backup.spool.directory,
                &backup.base_path,
                &backup.recovery_bundle_path,
                &paths.state,
                &paths.runtime,
            ]
            .into_iter()
            .chain(&backup.recovery_bundle_copy)
            .chain(&config.drill.directory)
            .cloned()
            .collect(),
            units: backup
                .units
                .iter()
                .map(|(name, unit)| {
                    let binds = unit.bind_mounts.clone().unwrap_or_default();
                    let rules = UnitRules {
                        enabled: unit.enabled,
                        exclude_patterns: texts(&unit.exclude_patterns),
                        bind_mode: binds.mode.map(mode),
                        bind_include: texts(&binds.include),
                        bind_exclude: texts(&binds.exclude),
                        max_bind_bytes: binds.max_size.map(|limit| limit.unwrap_or(u64::MAX)),
                    };
                    (name.clone(), rules)
                })
                .collect(),
        }
    }
}

fn endpoint(params: &KopiaParams) -> Option<Endpoint> {
    let (address, port) = match params.backend {
        Backend::S3 => (params.flag("endpoint")?, 443),
        Backend::Sftp => {
            let port = params.flag("port").and_then(|port| port.parse().ok());
            return Some(Endpoint {
                host: params.flag("host")?.to_owned(),
                port: port.unwrap_or(22),
            });
        }
        Backend::Webdav => {
            let url = params.flag("url")?;
            match url.strip_prefix("http://") {
                Some(rest) => (rest, 80),
                None => (url.strip_prefix("https://")?, 443),
            }
        }
        _ => return None,
    };
    let address = address.split('/').next().unwrap_or(address);
    // `user@host:port`, `[::1]:port`
    let address = address.rsplit('@').next().unwrap_or(address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        _ => (address, port),
    };
    Some(Endpoint {
        host: host.trim_matches(['[', ']']).to_owned(),
        port,
    })
}

fn mode(configured: ConfiguredMode) -> BindMode {
    match configured {
        ConfiguredMode::All => BindMode::All,
        ConfiguredMode::Include => BindMode::Include,
        ConfiguredMode::None => BindMode::None,
    }
}

fn texts(patterns: &[impl ToString]) -> Vec<String> {
    patterns.iter().map(ToString::to_string).collect()
}
