//! kopi-docka: cold backups of whole Docker stacks into a Kopia repository.
//!
//! `main` parses, builds the context, dispatches and reports; it is the only place that ends the process.

mod backends;
mod backup;
mod cli;
mod commands;
mod config;
mod context;
mod credentials;
mod deps;
mod discovery;
mod docker;
mod doctor;
mod error;
mod fault;
mod kopia;
mod lock;
mod logging;
mod machine;
mod maintenance;
mod memory;
mod metrics;
mod model;
mod password;
mod peers;
mod private_file;
mod pulse;
mod quiesce;
mod reports;
mod repository;
mod restore;
mod retention;
mod service;
mod setup;
mod shutdown;
mod ssh;
mod state;
mod timeline;
mod tool;
mod ui;
mod verify;
mod whose;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::context::Context;
use crate::shutdown::Shutdown;
use crate::ui::Ui;

/// One thread runs everything that waits: a child that follows its parent's *thread* into death
/// (`PR_SET_PDEATHSIG`) must be spawned from one that lives as long as the process. Bytes move on threads of their own.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli);
    let log = logging::init(&cli, commands::logged_as(&cli.command));
    let shutdown = match Shutdown::listen(commands::on_hangup(&cli.command)) {
        Ok(shutdown) => shutdown,
        Err(error) => {
            ui.error(&format!(
                "error: signal handlers can't be installed: {error}"
            ));
            return ExitCode::from(error::Exit::Unexpected.code());
        }
    };
    let context = Context::new(&cli, ui, shutdown, log);
    let (code, advice) = match commands::run(cli.command, &context).await {
        Ok(code) => (code, error::advice(code)),
        Err(error) => {
            context.ui.error(&error::render(&error));
            let code = error::exit_of(&error).code();
            let hint = error::hints_of(&error).into_iter().next();
            (code, hint.or_else(|| error::advice(code)))
        }
    };
    context.end_log(code, advice.as_deref());
    ExitCode::from(code)
}
