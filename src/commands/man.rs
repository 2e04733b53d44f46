//! `man`: the manual pages, made from the same words as `--help`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap_mangen::Man;

use super::config_page;
use crate::context::Context;
use crate::error::{Exit, Failure, Result};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Command to show the page of, or kopi-docka.json [default: the program]
    command: Option<String>,

    /// Write all pages to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    output_dir: Option<PathBuf>,
}

/// `program` is the whole command line.
pub fn run(cx: &Context, args: Args, program: clap::Command) -> Result<u8> {
    if let Some(folder) = &args.output_dir {
        write_all(folder, program)?;
        cx.ui
            .say(format!("The manual pages are in `{}`", folder.display()));
        return Ok(0);
    }
    if args.command.as_deref() == Some(config_page::NAME) {
        cx.ui.answer(config_page::page().trim_end());
        return Ok(0);
    }
    let page = Man::new(page_of(args.command.as_deref(), program)?);
    let mut text = Vec::new();
    page.render(&mut text)?;
    cx.ui.answer(String::from_utf8(text)?.trim_end());
    Ok(0)
}

fn page_of(name: Option<&str>, program: clap::Command) -> Result<clap::Command> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let Some(name) = name else {
        return Ok(program);
    };
    let command = program
        .get_subcommands()
        .find(|command| command.get_name() == name && !command.is_hide_set());
    command.cloned().ok_or_else(|| {
        Failure::new(Exit::Usage, format!("there is no command `{name}`"))
            .hint("see all commands with `kopi-docka --help`")
            .into()
    })
}

fn write_all(folder: &Path, program: clap::Command) -> Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(program, folder))
        .and_then(|()| {
            let file = folder.join(format!("{}.5", config_page::NAME));
            std::fs::write(file, config_page::page())
        })
        .with_context(|| {
            format!(
                "the manual pages cannot be written to `{}`",
                folder.display()
            )
        })
}
