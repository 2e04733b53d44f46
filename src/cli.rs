//! The command line before its command: no floor below knows it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::commands::{self, Command};
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

const GLOBAL: &str = "Global options";

/// Cold backups of whole Docker stacks into an encrypted, deduplicated Kopia repository.
#[derive(Debug, Parser)]
#[command(name = "kopi-docka", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Configuration file [default: /etc/kopi-docka.json, then ~/.config/kopi-docka/config.json]
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "FILE", env = CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,

    /// Log level
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        value_name = "LEVEL",
        env = "KOPI_DOCKA_LOG_LEVEL",
        ignore_case = true
    )]
    pub log_level: Option<LogLevel>,

    /// Print more detail
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "quiet")]
    pub verbose: bool,

    /// Print warnings and errors only
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub quiet: bool,

    /// Print JSON instead of text
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,

    /// When to use color
    #[arg(long, global = true, help_heading = GLOBAL, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,

    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What this process was called with; a wrong call ends it.
    pub fn of_process() -> Self {
        let mut program = Self::program();
        let matches = program.get_matches_mut();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut program).exit())
    }

    /// The whole command line. Its help has the commands in groups.
    pub fn program() -> clap::Command {
        let program = Self::command();
        let styles = program.get_styles();
        let (header, literal) = (*styles.get_header(), *styles.get_literal());
        let width = commands::GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter())
            .map(|name| name.len())
            .max()
            .unwrap_or_default();
        let mut groups = String::new();
        for (group, names) in commands::GROUPS {
            let _ = writeln!(groups, "{header}{group}:{header:#}");
            for name in names {
                let about = program
                    .find_subcommand(name)
                    .and_then(|command| command.get_about());
                let about = about.map_or_else(String::new, ToString::to_string);
                let _ = writeln!(groups, "  {literal}{name:width$}{literal:#}  {about}");
            }
            groups.push('\n');
        }
        let template = format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{header}{GLOBAL}:{header:#}\n{{options}}{{after-help}}"
        );
        program.help_template(template)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group_of_the_help() {
        let program = Cli::program();
        let shown = program
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let mut shown: Vec<&str> = shown.map(clap::Command::get_name).collect();
        let mut grouped: Vec<&str> = commands::GROUPS
            .iter()
            .flat_map(|(_, names)| names.iter().copied())
            .collect();
        shown.sort_unstable();
        grouped.sort_unstable();
        assert_eq!(grouped, shown);
    }

    #[test]
    fn help_has_the_groups_and_each_option_once() {
        let help = Cli::program().render_help().to_string();
        for (group, _) in commands::GROUPS {
            assert!(help.contains(&format!("\n{group}:\n")), "{help}");
        }
        assert_eq!(help.matches("--log-level").count(), 1, "{help}");
        assert_eq!(help.matches("Exit codes:").count(), 1, "{help}");
        let restore = Cli::program()
            .find_subcommand_mut("restore")
            .unwrap()
            .render_help()
            .to_string();
        for heading in [
            "What",
            "Where to",
            "How",
            "Instead of restoring",
            "Earlier restores",
        ] {
            assert!(restore.contains(&format!("\n{heading}:\n")), "{restore}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::program().debug_assert();
    }
}
