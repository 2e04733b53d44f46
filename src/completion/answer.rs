//! The scripts of `kopi-docka completions` call the program itself, with a variable that says which shell asks.

use clap::{Command, CommandFactory as _};
use clap_complete::CompleteEnv;

use crate::cli::Cli;

pub const VARIABLE: &str = "KOPI_DOCKA_COMPLETE";

/// Answers a shell, if one asks; whether it did.
pub fn answer() -> bool {
    let asked = CompleteEnv::with_factory(shown)
        .var(VARIABLE)
        .bin("kopi-docka")
        .completer("kopi-docka");
    // What it cannot answer it answers with nothing.
    asked
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
        .unwrap_or(true)
}

/// The command line without what is hidden, which clap_complete 4.6 offers where nothing else begins like it.
fn shown() -> Command {
    let all = Cli::command();
    let commands = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    Command::new("kopi-docka")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(all.get_arguments().cloned())
        .subcommands(commands.cloned())
}
