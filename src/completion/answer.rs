//! The scripts of `kopi-docka completions` call the program itself, with a variable that says which shell asks.

use clap::Command;
use clap_complete::CompleteEnv;

pub const VARIABLE: &str = "KOPI_DOCKA_COMPLETE";

/// Answers a shell, if one asks; whether it did. `program` is the whole command line.
pub fn answer(program: impl Fn() -> Command) -> bool {
    let asked = CompleteEnv::with_factory(|| shown(&program()))
        .var(VARIABLE)
        .bin("kopi-docka")
        .completer("kopi-docka");
    // What it cannot answer it answers with nothing.
    asked
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
        .unwrap_or(true)
}

/// The command line without what is hidden, which clap_complete 4.6 offers where nothing else begins like it.
fn shown(all: &Command) -> Command {
    let commands = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    Command::new("kopi-docka")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(all.get_arguments().cloned())
        .subcommands(commands.cloned())
}
