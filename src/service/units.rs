//! The units of `systemd/`, filled in with what the configuration says. Rendering asks the disk nothing: the same configuration
//! gives the same text, so that an installed unit which differs is an old one. [`quote`] makes a value safe for systemd.

mod quote;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use self::quote::{in_condition, in_list, in_words};
use crate::base::paths::Paths;
use crate::config::{Config, Hook, Loaded};
use crate::context::Context;
use crate::error::Result;

/// Every unit by its name.
const TEMPLATES: [(&str, &str); 12] = [
    (
        "kopi-docka.service",
        include_str!("../../systemd/kopi-docka.service"),
    ),
    (
        "kopi-docka-backup.service",
        include_str!("../../systemd/kopi-docka-backup.service"),
    ),
    (
        "kopi-docka.timer",
        include_str!("../../systemd/kopi-docka.timer"),
    ),
    (
        "kopi-docka-recover.service",
        include_str!("../../systemd/kopi-docka-recover.service"),
    ),
    (
        "kopi-docka-recover-boot.service",
        include_str!("../../systemd/kopi-docka-recover-boot.service"),
    ),
    (
        "kopi-docka-recover.timer",
        include_str!("../../systemd/kopi-docka-recover.timer"),
    ),
    (
        "kopi-docka-clean.service",
        include_str!("../../systemd/kopi-docka-clean.service"),
    ),
    (
        "kopi-docka-retry.service",
        include_str!("../../systemd/kopi-docka-retry.service"),
    ),
    (
        "kopi-docka-retry.timer",
        include_str!("../../systemd/kopi-docka-retry.timer"),
    ),
    (
        "kopi-docka-notify.service",
        include_str!("../../systemd/kopi-docka-notify.service"),
    ),
    (
        "kopi-docka-drill.service",
        include_str!("../../systemd/kopi-docka-drill.service"),
    ),
    (
        "kopi-docka-drill.timer",
        include_str!("../../systemd/kopi-docka-drill.timer"),
    ),
];
const HARDENING: &str = include_str!("../../systemd/hardening.conf");

/// What an operator types to have backups made by the timer.
pub const ENABLE: &str = "systemctl enable --now kopi-docka.timer";

/// Containers whose own stop timeout is longer than ours get theirs; the configuration does not know it.
const GRACE_OF_A_CONTAINER: Duration = Duration::from_secs(600);
/// How many levels of dependencies may each take as long as they can.
const LEVELS: u32 = 4;

/// What the units depend on.
#[derive(Clone, Debug)]
pub struct Installation<'a> {
    pub config: &'a Config,
    /// The configuration that the units name.
    pub config_file: PathBuf,
    /// Our own binary.
    pub program: PathBuf,
    pub paths: &'a Paths,
}

/// A unit as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitFile {
    pub name: &'static str,
    pub text: String,
}

/// All units. Fails when a path cannot be written in one, such as one with a line break.
pub fn render(installation: &Installation<'_>) -> Result<Vec<UnitFile>> {
    let values = values(installation)?;
    let fill = |(name, template): (&'static str, &str)| {
        let mut text = template.to_owned();
        for (key, value) in &values {
            text = text.replace(key, value);
        }
        // A placeholder that was filled with nothing leaves no empty line where there was none.
        text = text.replace("\n\n\n", "\n\n");
        UnitFile { name, text }
    };
    Ok(TEMPLATES.into_iter().map(fill).collect())
}

/// The units of this program with the configuration in force: what is installed should be the same.
pub fn of(cx: &Context, loaded: &Loaded) -> Result<Vec<UnitFile>> {
    render(&Installation {
        config: &loaded.config,
        config_file: loaded.path.clone(),
        program: own_program()?,
        paths: &cx.paths,
    })
}

pub fn own_program() -> Result<PathBuf> {
    std::env::current_exe()
        .and_then(|program| program.canonicalize())
        .context("where this program is cannot be found out; name it with `--program`")
}

fn values(installation: &Installation<'_>) -> Result<Vec<(&'static str, String)>> {
    let Installation {
        config,
        config_file,
        program,
        paths,
    } = installation;
    let command = |prefix: &str| -> Result<String> {
        // With `:` no `$` in a path is taken for a variable.
        let program = in_words(&format!("{prefix}:{}", quote::text(program)?));
        let file = in_words(quote::text(config_file)?);
        Ok(format!("{program} --config {file}"))
    };
    let stop = stop_seconds(config);
    Ok(vec![
        // First: it holds other placeholders' lines, but none itself.
        ("@HARDENING@\n", HARDENING.to_owned()),
        ("@EXEC@", command("")?),
        ("@EXEC_MAY_FAIL@", command("-")?),
        ("@ENVIRONMENT@", environment(paths)?),
        ("@FOLDERS@", folders(config, paths)?),
        ("@MOUNTS@\n", mounts(config)?),
        ("@STATE@", in_condition(&paths.state)?),
        (
            "@STOP_REASON@",
            format!(
                "The longest stop_timeout, {} s for containers with a longer one of their own, and {LEVELS} levels that each start as slowly as start_timeout lets them.",
                GRACE_OF_A_CONTAINER.as_secs()
            ),
        ),
        ("@STOP_SECONDS@", stop.to_string()),
    ])
}

/// Longer than closing a window takes. What is killed after it is started by `ExecStopPost=` all the same.
fn stop_seconds(config: &Config) -> u64 {
    let of_units = config
        .backup
        .units
        .keys()
        .map(|name| config.unit(name).stop_timeout);
    let longest = of_units
        .chain([config.backup.stop_timeout])
        .max()
        .unwrap_or_default();
    // A level waits for what it depends on, then for its own start.
    let starts = config.backup.start_timeout * 2 * LEVELS;
    let hooks: Duration = config.hooks.iter().map(Hook::timeout).sum();
    (longest + GRACE_OF_A_CONTAINER + starts + hooks).as_secs()
}

/// systemd gives a system service neither; in a shell both may be set.
fn environment(paths: &Paths) -> Result<String> {
    let mut lines = vec![variable("HOME", &paths.home)?];
    let standard = Paths::standard();
    if paths.state != standard.state {
        lines.push(variable("KOPI_DOCKA_STATE_DIRECTORY", &paths.state)?);
    }
    if paths.runtime != standard.runtime {
        lines.push(variable("KOPI_DOCKA_RUNTIME_DIRECTORY", &paths.runtime)?);
    }
    Ok(lines.join("\n"))
}

fn variable(name: &str, value: &Path) -> Result<String> {
    let word = in_words(&format!("{name}={}", quote::text(value)?));
    Ok(format!("Environment={word}"))
}

/// The directories that a unit may write to. Those at their standard places are systemd's to make.
fn folders(config: &Config, paths: &Paths) -> Result<String> {
    let standard = Paths::standard();
    let mut lines = Vec::new();
    let mut writable: BTreeSet<&Path> = writable_folders(config);
    if paths.state == standard.state {
        lines.push("StateDirectory=kopi-docka\nStateDirectoryMode=0700".to_owned());
    } else {
        writable.insert(&paths.state);
    }
    if paths.runtime == standard.runtime {
        // A run in a shell has its lock in there too.
        lines.push(
            "RuntimeDirectory=kopi-docka\nRuntimeDirectoryMode=0700\nRuntimeDirectoryPreserve=yes"
                .to_owned(),
        );
    } else {
        writable.insert(&paths.runtime);
    }
    let cache = Path::new("/var/cache/kopi-docka");
    if writable.iter().any(|folder| folder.starts_with(cache)) {
        lines.push("CacheDirectory=kopi-docka\nCacheDirectoryMode=0700".to_owned());
        writable.retain(|folder| !folder.starts_with(cache));
    }
    let connection = paths.home.join(".config/kopia");
    writable.insert(&connection);
    // One that is not there is no reason not to start: the run says more about it than systemd would.
    for folder in writable {
        lines.push(format!("ReadWritePaths={}", in_list("-", folder)?));
    }
    Ok(lines.join("\n"))
}

/// Directories of the configuration that a backup writes to.
pub fn writable_folders(config: &Config) -> BTreeSet<&Path> {
    let log = config.logging.file.as_deref().and_then(Path::parent);
    let repository = config.kopia.kopia_params.flag("path").map(Path::new);
    let repository = repository.filter(|_| config.kopia.kopia_params.local_path().is_some());
    let folders = [
        config.backup.base_path.as_path(),
        &config.backup.recovery_bundle_path,
        &config.backup.spool.directory,
        &config.kopia.cache_directory,
    ];
    let copy = config.backup.recovery_bundle_copy.as_deref();
    folders
        .into_iter()
        .chain(config.drill.directory.as_deref())
        .chain(copy)
        .chain(log)
        .chain(repository)
        .collect()
}

/// A disk that is not mounted is no reason to fill the directory that it is mounted on.
fn mounts(config: &Config) -> Result<String> {
    let repository = config.kopia.kopia_params.local_path();
    let base = config.backup.base_path.clone();
    let mut text = String::new();
    for path in repository.into_iter().chain([base]) {
        text.push_str(&format!("RequiresMountsFor={}\n", in_list("", &path)?));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
