//! What every command gets: built once in `main`.

use std::path::PathBuf;

use tracing::{info, warn};

use crate::base::paths::Paths;
use crate::base::shutdown::Shutdown;
use crate::config::{self, Loaded};
use crate::error::{self, Exit, Failure, Result};
use crate::logging::{self, Log};
use crate::ui::Ui;

/// Names the configuration file where no flag does.
pub const CONFIG_VARIABLE: &str = "KOPI_DOCKA_CONFIG";

pub struct Context {
    pub ui: Ui,
    pub paths: Paths,
    pub shutdown: Shutdown,
    config_file: Option<PathBuf>,
    log: Log,
}

impl Context {
    pub fn new(config_file: Option<PathBuf>, ui: Ui, shutdown: Shutdown, log: Log) -> Self {
        Self {
            ui,
            paths: Paths::from_env(),
            shutdown,
            config_file,
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

    /// The file that was named, absolute; it need not be there.
    pub fn named_config(&self) -> Result<Option<PathBuf>> {
        let named = self.config_file.as_ref();
        named.map(|_| self.config_target()).transpose()
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
