//! `completions`: what teaches a shell our commands and flags. Reads and writes nothing.

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell that is to complete
    shell: Shell,
}

pub fn run(cx: &Context, args: Args) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(), "kopi-docka", &mut script);
    cx.ui.answer(String::from_utf8(script)?.trim_end());
    Ok(0)
}

/// The command line without what is hidden, which clap_complete 4.6 would offer.
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
