//! kopi-docka: cold backups of whole Docker stacks into a Kopia repository.
//!
//! `main` parses, builds the context, dispatches and reports; it is the only place that ends the process.

mod backup;
mod base;
mod bundle;
mod changed;
mod cli;
mod commands;
mod completion;
mod config;
mod context;
mod discovery;
mod doctor;
mod drill;
mod drivers;
mod error;
mod hooks;
#[cfg(test)]
mod layers;
mod logging;
mod model;
mod notify;
mod points;
mod quiesce;
mod recovery;
mod reports;
mod repository;
mod restore;
mod retention;
mod service;
mod setup;
mod swap;
mod ui;
mod verify;

use std::process::ExitCode;
use std::time::Duration;

use crate::base::descriptors;
use crate::base::shutdown::Shutdown;
use crate::cli::Cli;
use crate::context::Context;
use crate::ui::Ui;
use crate::ui::printer::{self, Patience};

/// How long the end of a command that has acted waits for a reader that takes nothing: the work is done, and who called us
/// waits for the exit code.
const UNREAD: Duration = Duration::from_secs(10);

/// The same after a signal.
const UNREAD_AFTER_SIGNAL: Duration = Duration::from_millis(500);

/// One thread runs everything that waits: a child that follows its parent's *thread* into death
/// (`PR_SET_PDEATHSIG`) must be spawned from one that lives as long as the process. Bytes move on threads of their own.
fn main() -> ExitCode {
    if completion::answer(Cli::program) {
        return ExitCode::SUCCESS;
    }
    let cli = Cli::of_process();
    std::panic::set_hook(Box::new(|panic| {
        printer::say_last(&panic.to_string());
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(cli));
            // A look at a path that does not answer must not keep the program: its thread ends with it.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            printer::say_last(&format!("error: the program cannot be started: {error}"));
            ExitCode::from(error::Exit::Unexpected.code())
        }
    }
}

async fn run(cli: Cli) -> ExitCode {
    let ui = Ui::new(cli.ui());
    descriptors::raise();
    let log = logging::init(
        cli.logging(),
        commands::logged_as(&cli.command),
        printer::Lines::default,
    );
    let shutdown = match Shutdown::listen(commands::on_hangup(&cli.command)) {
        Ok(shutdown) => shutdown,
        Err(error) => {
            printer::say_last(&format!(
                "error: signal handlers cannot be installed: {error}"
            ));
            return ExitCode::from(error::Exit::Unexpected.code());
        }
    };
    let patience = if commands::only_answers(&cli.command) {
        Patience::Endless
    } else {
        Patience::Silence(UNREAD)
    };
    let context = Context::new(cli.config, ui, shutdown, log);
    let (code, advice) = match commands::run(cli.command, &context, Cli::program()).await {
        Ok(code) => (code, error::advice(code)),
        Err(error) => {
            context.ui.error(&error::render(&error));
            let code = error::exit_of(&error).code();
            let hint = error::hints_of(&error).into_iter().next();
            (code, hint.or_else(|| error::advice(code)))
        }
    };
    context.end_log(code, advice.as_deref());
    tokio::select! {
        biased;
        () = printer::flushed(patience) => {}
        () = context.shutdown.asked() => {
            printer::flushed(Patience::AtMost(UNREAD_AFTER_SIGNAL)).await;
        }
    }
    ExitCode::from(code)
}
