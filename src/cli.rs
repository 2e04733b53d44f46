//! The command line, in the order of the README. No behaviour.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::commands;

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
    #[arg(long, global = true, value_name = "FILE", env = "KOPI_DOCKA_CONFIG")]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    #[value(alias = "warning")]
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Go from nothing to the first backup: programs, configuration, repository, a look at what will be saved, the timer
    ///
    /// Asks, does one step after the other, and says what is done already: run again, it goes on where it was ended.
    Setup(commands::setup::Args),
    /// Write a configuration: asks where the repository shall be, and for its password
    NewConfig(commands::new_config::Args),
    /// Change the configuration in an editor; it is checked before it counts
    EditConfig(commands::edit_config::Args),
    /// Take the configuration away; a copy is kept, and the repository stays
    ResetConfig(commands::reset_config::Args),
    /// Look at everything that a backup needs, and say what to do about what is wrong
    ///
    /// Programs, configuration, Docker, what a backup would not save, the repository, room on the disks, what an interrupted run left,
    /// the last backup of every unit, and what starts the next one. Nothing is touched, so it may run beside a backup. Exit code 0
    /// when nothing failed; warnings alone are no failure.
    #[command(alias = "doctor")]
    Check(commands::check::Args),
    /// Install the programs that are missing
    ///
    /// Prints the exact commands for this distribution, asks, runs them, and looks again. Kopia comes from its own signed package
    /// repository, whose key is checked by its fingerprint.
    #[command(alias = "install")]
    InstallDeps(commands::install_deps::Args),
    /// Show how to install what is needed by hand
    ShowDeps(commands::show_deps::Args),
    /// Show the configuration that is in force, secrets masked
    ShowConfig(commands::show_config::Args),
    /// Give the repository a new password
    ///
    /// Changes it in the repository, stores it where the old one was (the password file, or the configuration), and proves that it opens
    /// the repository. Interrupted at any moment, the next run finds out which password the repository has, and finishes.
    ChangePassword(commands::change_password::Args),
    /// Create the repository, or connect to the one that is there
    Init(commands::init::Args),
    /// Show the repository: where, whose, how much
    ///
    /// With `--verbose` also how large it is: for that every object in its storage is listed.
    RepoStatus(commands::repo_status::Args),
    /// Show which configuration, connection, cache and identity are in force
    RepoWhichConfig(commands::repo_which_config::Args),
    /// Remove old restore points, and let Kopia free their room
    ///
    /// Retention as after a backup, for every unit that this host has restore points of; then Kopia's maintenance. After a backup
    /// both happen by themselves, maintenance when it is due.
    RepoMaintenance(commands::repo_maintenance::Args),
    /// List backup units, or the restore points in the repository
    List(commands::list::Args),
    /// Back up every unit, or the named ones
    Backup(commands::backup::Args),
    /// Show what a backup would do, and touch nothing
    ///
    /// What stops in which order, what is read, what is left out and why, how long it may take. Exit code 3 when a unit would fail for certain, and that of the reason when the whole run would.
    DryRun(commands::dry_run::Args),
    /// Measure how much a backup would read
    EstimateSize(commands::estimate_size::Args),
    /// Bring a restore point back
    Restore(Box<commands::restore::Args>),
    /// Prove that restore points can be read back
    ///
    /// Reads the recipe and the data of restore points out of the storage itself, past Kopia's cache, and checks that every stream
    /// is as long as it was and a sound archive to its end. Nothing is written but what was found, which `list --snapshots`
    /// shows; no container is touched, Docker is not needed, and backups go on meanwhile.
    Verify(commands::verify::Args),
    /// Show what earlier runs did
    History(commands::history::Args),
    /// Stay, answer systemd's watchdog, and back up every so often when told
    ///
    /// Brings up what an interrupted run left down, then waits. SIGTERM ends it, after the containers run again; SIGHUP reads the
    /// configuration again. Works the same in a shell.
    Daemon(commands::daemon::Args),
    /// Write the systemd units, as the configuration needs them
    ///
    /// The timer with its backup, the daemon, and the recovery at boot. Written again after a change of the configuration; what was set with
    /// `systemctl edit` stays.
    WriteUnits(commands::write_units::Args),
    /// Start again what an interrupted run left stopped
    Recover(commands::recover::Args),
    /// Print what teaches a shell to complete commands and flags
    Completions(commands::completions::Args),
    /// Print the manual page of the program or of a command, or write all of them
    Man(commands::man::Args),
    /// The spelling of version 1
    #[command(hide = true)]
    Config(commands::config_v1::Args),
    /// Show the version
    Version(commands::version::Args),
}
