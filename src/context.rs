//! What every command gets: built once in `main`.

use std::path::PathBuf;

use tracing::{info, warn};

use crate::cli::Cli;
use crate::config::{self, Loaded};
use crate::error::{self, Exit, Failure, Result};
use crate::logging::{self, Log};
use crate::shutdown::Shutdown;
use crate::ui::Ui;

pub struct Context {
    pub ui: Ui,
    pub paths: Paths,
    pub shutdown: Shutdown,
    config_file: Option<PathBuf>,
    log: Log,
}

/// Where our own things are on this host.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Stop records, restore journals, repository identities: survives a reboot.
    pub state: PathBuf,
    /// The lock and work folders with secrets: gone after a reboot.
    pub runtime: PathBuf,
    /// Kopia's connection profiles are below it.
    pub home: PathBuf,
    /// The credentials of the storage.
    pub credentials: PathBuf,
    /// What tells this machine from its clones, each of which may be missing.
    pub marks_of_machine: Vec<PathBuf>,
}

impl Paths {
    /// Where they are on a host that says nothing else.
    pub fn standard() -> Self {
        Self {
            state: "/var/lib/kopi-docka".into(),
            runtime: "/run/kopi-docka".into(),
            home: "/root".into(),
            credentials: "/etc/kopi-docka.env".into(),
            marks_of_machine: vec![
                "/etc/machine-id".into(),
                "/sys/class/dmi/id/product_uuid".into(),
            ],
        }
    }

    fn from_env() -> Self {
        let standard = Self::standard();
        let path = |variable: &str, default: PathBuf| {
            std::env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map_or(default, PathBuf::from)
        };
        Self {
            state: path("KOPI_DOCKA_STATE_DIRECTORY", standard.state),
            runtime: path("KOPI_DOCKA_RUNTIME_DIRECTORY", standard.runtime),
            home: std::env::home_dir().unwrap_or(standard.home),
            credentials: path("KOPI_DOCKA_ENV_FILE", standard.credentials),
            marks_of_machine: standard.marks_of_machine,
        }
    }

    pub fn stop_records(&self) -> PathBuf {
        self.state.join("stopped")
    }

    pub fn restore_journals(&self) -> PathBuf {
        self.state.join("restoring")
    }

    /// What `verify` found, one file a restore point.
    pub fn verified(&self) -> PathBuf {
        self.state.join("verified")
    }

    /// The last maintenance that this host did, one file a profile.
    pub fn maintenance(&self) -> PathBuf {
        self.state.join("maintenance")
    }

    /// Changes of the password that are not finished, one file a profile.
    pub fn password_changes(&self) -> PathBuf {
        self.state.join("password-change")
    }

    /// What the last whole point of each unit held, one directory a profile.
    pub fn remembered(&self) -> PathBuf {
        self.state.join("remembered")
    }

    /// The id of this machine.
    pub fn machine(&self) -> PathBuf {
        self.state.join("machine.json")
    }

    /// The runs that were made here.
    pub fn runs_made(&self) -> PathBuf {
        self.state.join("runs.json")
    }

    pub fn repositories(&self) -> PathBuf {
        self.state.join("repositories")
    }
}

impl Context {
    pub fn new(cli: &Cli, ui: Ui, shutdown: Shutdown, log: Log) -> Self {
        Self {
            ui,
            paths: Paths::from_env(),
            shutdown,
            config_file: cli.config.clone(),
            log,
        }
    }

    /// Reads the configuration and says what is odd about it. The log file begins here, since it is named there.
    pub fn config(&self) -> Result<Loaded> {
        let loaded = self.config_again()?;
        self.begin_log(&loaded);
        for warning in &loaded.warnings {
            self.ui.warn(warning);
        }
        Ok(loaded)
    }

    /// Reads it without saying again what is odd about it.
    pub fn config_again(&self) -> Result<Loaded> {
        config::load(&self.paths, self.config_file.as_deref())
    }

    /// The file of the configuration, which need not be there.
    pub fn config_target(&self) -> Result<PathBuf> {
        config::target(&self.paths, self.config_file.as_deref())
    }

    /// `None` when there is none and none was named; one that is broken is an error.
    pub fn config_if_any(&self) -> Result<Option<Loaded>> {
        if self.config_file.is_none() && !config::is_any(&self.paths) {
            return Ok(None);
        }
        self.config().map(Some)
    }

    /// `None` when none was named, whatever this host has.
    pub fn config_if_named(&self) -> Result<Option<Loaded>> {
        self.config_file.as_ref().map(|_| self.config()).transpose()
    }

    /// For a command that needs no configuration: the log file begins if there is one.
    pub fn log_if_configured(&self) {
        if let Ok(loaded) = config::load(&self.paths, self.config_file.as_deref()) {
            self.begin_log(&loaded);
        }
    }

    fn begin_log(&self, loaded: &Loaded) {
        if let Err(why) = self.log.begin(&loaded.config.logging) {
            self.ui.warn(why);
        }
    }

    /// The last line of a run: how it ended, and what is to be done if it did not end well.
    pub fn end_log(&self, exit_code: u8, advice: Option<&str>) {
        let result = error::result(exit_code);
        let advice = advice.map_or_else(String::new, |advice| format!(": {advice}"));
        match result {
            "success" => {
                info!(target: logging::FILE, RESULT = result, EXIT_CODE = exit_code, "ends with exit code 0");
            }
            "failed" => {
                tracing::error!(target: logging::FILE, RESULT = result, EXIT_CODE = exit_code, "ends with exit code {exit_code}{advice}");
            }
            _ => {
                warn!(target: logging::FILE, RESULT = result, EXIT_CODE = exit_code, "ends with exit code {exit_code}{advice}");
            }
        }
        if let Err(why) = self.log.end() {
            self.ui.warn(why);
        }
    }

    /// `what` names the command for the error.
    pub fn require_root(&self, what: &str) -> Result<()> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        Err(
            Failure::new(Exit::NeedsRoot, format!("`kopi-docka {what}` needs root"))
                .hint(format!("run `sudo kopi-docka {what}`"))
                .into(),
        )
    }
}
