//! Diagnostics for whoever looks for a cause: on stderr, off unless asked for.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, LogLevel};

/// `--log-level` decides; without it warnings are shown, with `--verbose` also infos.
pub fn init(cli: &Cli) {
    let level = match cli.log_level {
        Some(LogLevel::Error) => "error",
        Some(LogLevel::Warn) => "warn",
        Some(LogLevel::Info) => "info",
        Some(LogLevel::Debug) => "debug",
        Some(LogLevel::Trace) => "trace",
        None if cli.verbose => "info",
        None => "warn",
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("off,kopi_docka={level}")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
}
