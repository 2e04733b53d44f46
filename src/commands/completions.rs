//! `completions`: what teaches a shell our commands and flags, and what there is for them. Reads and writes nothing.

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::completion::VARIABLE;
use crate::context::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Shell to generate completions for
    shell: Shell,
}

pub fn run(cx: &Context, args: Args) -> Result<u8> {
    let name = args.shell.to_string();
    let shells = Shells::builtins();
    let shell = shells
        .completer(&name)
        .ok_or_else(|| anyhow::anyhow!("unsupported shell: {name}"))?;
    let mut script = Vec::new();
    shell.write_registration(
        VARIABLE,
        "kopi-docka",
        "kopi-docka",
        "kopi-docka",
        &mut script,
    )?;
    cx.ui.answer(String::from_utf8(script)?.trim());
    Ok(0)
}
