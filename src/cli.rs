//! The command line before its command: no floor below knows it.

use std::path::PathBuf;

use clap::Parser;

use crate::commands::Command;
use crate::config::LogLevel;
use crate::context::CONFIG_VARIABLE;
use crate::logging;
use crate::ui::{self, ColorChoice};

const EXIT_CODES: &str = "\
Exit codes:
   0 done                          12 repository refused the password
   1 unexpected error              13 needs root
   2 wrong usage                   14 Docker unreachable or too old
   3 some units failed, or lossy   15 a program is missing, too old, or failed
   4 no unit or point matched      16 configuration unreadable or invalid
   5 declined at a prompt          17 storage unreachable
  10 no repository                 18 containers are still stopped
  11 another run holds the lock   130 SIGINT, 143 SIGTERM (containers are up)";

/// Cold backups of whole Docker stacks into an encrypted, deduplicated Kopia repository.
#[derive(Debug, Parser)]
#[command(name = "kopi-docka", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Configuration file [default: /etc/kopi-docka.json, then ~/.config/kopi-docka/config.json]
    #[arg(long, global = true, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,

    /// What is logged: error, warn, info, debug or trace
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "KOPI_DOCKA_LOG_LEVEL",
        ignore_case = true
    )]
    pub log_level: Option<LogLevel>,

    /// Say more about what happens
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,

    /// Only say what is wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub json: bool,

    /// Colours: when the output is a terminal, or as told
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,

    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    pub fn ui(&self) -> ui::Options {
        ui::Options {
            json: self.json,
            quiet: self.quiet,
            verbose: self.verbose,
            color: self.color,
        }
    }

    pub fn logging(&self) -> logging::Options {
        logging::Options {
            level: self.log_level,
            verbose: self.verbose,
            quiet: self.quiet,
        }
    }
}
