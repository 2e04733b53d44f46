//! One file a command: its arguments and `run`. No logic that two commands would share.

pub mod backup;
pub mod change_password;
pub mod check;
pub mod completions;
pub mod config_v1;
pub mod daemon;
pub mod dry_run;
pub mod edit_config;
pub mod estimate_size;
pub mod history;
pub mod init;
pub mod install_deps;
pub mod list;
mod list_snapshots;
mod list_units;
pub mod man;
pub mod new_config;
pub mod recover;
pub mod repo_maintenance;
pub mod repo_status;
pub mod repo_which_config;
pub mod reset_config;
pub mod restore;
pub mod setup;
pub mod show_config;
pub mod show_deps;
pub mod verify;
pub mod version;
pub mod write_units;

use clap::Subcommand;

use crate::base::shutdown::Hangup;
use crate::context::Context;
use crate::error::Result;

/// All commands, in the order of the README.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Go from nothing to the first backup: programs, configuration, repository, a look at what will be saved, the timer
    ///
    /// Asks, does one step after the other, and says what is done already: run again, it goes on where it was ended.
    Setup(setup::Args),
    /// Write a configuration: asks where the repository shall be, and for its password
    NewConfig(new_config::Args),
    /// Change the configuration in an editor; it is checked before it counts
    EditConfig(edit_config::Args),
    /// Take the configuration away; a copy is kept, and the repository stays
    ResetConfig(reset_config::Args),
    /// Look at everything that a backup needs, and say what to do about what is wrong
    ///
    /// Programs, configuration, Docker, what a backup would not save, the repository, room on the disks, what an interrupted run left,
    /// the last backup of every unit, and what starts the next one. Nothing is touched, so it may run beside a backup. Exit code 0
    /// when nothing failed; warnings alone are no failure.
    #[command(alias = "doctor")]
    Check(check::Args),
    /// Install the programs that are missing
    ///
    /// Prints the exact commands for this distribution, asks, runs them, and looks again. Kopia comes from its own signed package
    /// repository, whose key is checked by its fingerprint.
    #[command(alias = "install")]
    InstallDeps(install_deps::Args),
    /// Show how to install what is needed by hand
    ShowDeps(show_deps::Args),
    /// Show the configuration that is in force, secrets masked
    ShowConfig(show_config::Args),
    /// Give the repository a new password
    ///
    /// Changes it in the repository, stores it where the old one was (the password file, or the configuration), and proves that it opens
    /// the repository. Interrupted at any moment, the next run finds out which password the repository has, and finishes.
    ChangePassword(change_password::Args),
    /// Create the repository, or connect to the one that is there
    Init(init::Args),
    /// Show the repository: where, whose, how much
    ///
    /// With `--verbose` also how large it is: for that every object in its storage is listed.
    RepoStatus(repo_status::Args),
    /// Show which configuration, connection, cache and identity are in force
    RepoWhichConfig(repo_which_config::Args),
    /// Remove old restore points, and let Kopia free their room
    ///
    /// Retention as after a backup, for every unit that this host has restore points of; then Kopia's maintenance. After a backup
    /// both happen by themselves, maintenance when it is due.
    RepoMaintenance(repo_maintenance::Args),
    /// List backup units, or the restore points in the repository
    List(list::Args),
    /// Back up every unit, or the named ones
    Backup(backup::Args),
    /// Show what a backup would do, and touch nothing
    ///
    /// What stops in which order, what is read, what is left out and why, how long it may take. Exit code 3 when a unit would fail for certain, and that of the reason when the whole run would.
    DryRun(dry_run::Args),
    /// Measure how much a backup would read
    EstimateSize(estimate_size::Args),
    /// Bring a restore point back
    Restore(Box<restore::Args>),
    /// Prove that restore points can be read back
    ///
    /// Reads the recipe and the data of restore points out of the storage itself, past Kopia's cache, and checks that every stream
    /// is as long as it was and a sound archive to its end. Nothing is written but what was found, which `list --snapshots`
    /// shows; no container is touched, Docker is not needed, and backups go on meanwhile.
    Verify(verify::Args),
    /// Show what earlier runs did
    History(history::Args),
    /// Stay, answer systemd's watchdog, and back up every so often when told
    ///
    /// Brings up what an interrupted run left down, then waits. SIGTERM ends it, after the containers run again; SIGHUP reads the
    /// configuration again. Works the same in a shell.
    Daemon(daemon::Args),
    /// Write the systemd units, as the configuration needs them
    ///
    /// The timer with its backup, the daemon, and the recovery at boot. Written again after a change of the configuration; what was set with
    /// `systemctl edit` stays.
    WriteUnits(write_units::Args),
    /// Start again what an interrupted run left stopped
    Recover(recover::Args),
    /// Print what teaches a shell to complete commands and flags
    Completions(completions::Args),
    /// Print the manual page of the program or of a command, or write all of them
    Man(man::Args),
    /// The spelling of version 1
    #[command(hide = true)]
    Config(config_v1::Args),
    /// Show the version
    Version(version::Args),
}

/// What `command` is called in the log file; `None` for one that only looks, which has nothing to tell the next morning.
pub fn logged_as(command: &Command) -> Option<&'static str> {
    match command {
        Command::InstallDeps(args) => (!args.dry_run).then_some("install-deps"),
        Command::Init(_) => Some("init"),
        Command::Backup(args) => (!args.dry_run).then_some("backup"),
        Command::ChangePassword(_) => Some("change-password"),
        Command::RepoMaintenance(_) => Some("repo-maintenance"),
        Command::Restore(_) => Some("restore"),
        Command::Setup(_) => Some("setup"),
        Command::Verify(_) => Some("verify"),
        Command::Daemon(_) => Some("daemon"),
        Command::Recover(_) => Some("recover"),
        Command::WriteUnits(_) => Some("write-units"),
        Command::NewConfig(_)
        | Command::EditConfig(_)
        | Command::ResetConfig(_)
        | Command::Check(_)
        | Command::ShowDeps(_)
        | Command::ShowConfig(_)
        | Command::RepoStatus(_)
        | Command::RepoWhichConfig(_)
        | Command::List(_)
        | Command::DryRun(_)
        | Command::EstimateSize(_)
        | Command::History(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Config(_)
        | Command::Version(_) => None,
    }
}

/// Whether all that `command` does is to answer: then its answer waits for its reader, as long as it takes.
pub fn only_answers(command: &Command) -> bool {
    match command {
        Command::Restore(args) => args.only_answers(),
        command => logged_as(command).is_none(),
    }
}

/// A daemon reads its configuration again; any other command has lost its terminal.
pub fn on_hangup(command: &Command) -> Hangup {
    match command {
        Command::Daemon(_) => Hangup::Reloads,
        _ => Hangup::Ends,
    }
}

/// Whether `command` can be left at any moment, with nothing to bring up, to put back or to say: a signal ends it wherever it waits.
/// All others look for signals themselves.
fn only_looks(command: &Command) -> bool {
    matches!(
        command,
        Command::Check(_)
            | Command::ShowDeps(_)
            | Command::List(_)
            | Command::DryRun(_)
            | Command::EstimateSize(_)
            | Command::RepoStatus(_)
            | Command::Init(_)
    ) || matches!(command, Command::Backup(args) if args.dry_run)
}

/// Runs `command` of `program`; `Ok` holds the exit code of a command that did its work (0, or 3 when some units failed).
pub async fn run(command: Command, cx: &Context, program: clap::Command) -> Result<u8> {
    if only_looks(&command) {
        return cx
            .shutdown
            .cut("the command", dispatch(command, cx, program))
            .await;
    }
    dispatch(command, cx, program).await
}

async fn dispatch(command: Command, cx: &Context, program: clap::Command) -> Result<u8> {
    match command {
        Command::Setup(args) => setup::run(cx, args).await,
        Command::NewConfig(args) => new_config::run(cx, args).await,
        Command::EditConfig(args) => edit_config::run(cx, args).await,
        Command::ResetConfig(args) => reset_config::run(cx, args).await,
        Command::Check(args) => check::run(cx, args).await,
        Command::InstallDeps(args) => install_deps::run(cx, args).await,
        Command::ShowDeps(args) => show_deps::run(cx, args),
        Command::ShowConfig(args) => show_config::run(cx, args),
        Command::ChangePassword(args) => change_password::run(cx, args).await,
        Command::Init(args) => init::run(cx, args).await,
        Command::RepoStatus(args) => repo_status::run(cx, args).await,
        Command::RepoWhichConfig(args) => repo_which_config::run(cx, args),
        Command::RepoMaintenance(args) => repo_maintenance::run(cx, args).await,
        Command::List(args) => list::run(cx, args).await,
        Command::Backup(args) => backup::run(cx, args).await,
        Command::DryRun(args) => dry_run::run(cx, args).await,
        Command::EstimateSize(args) => estimate_size::run(cx, args).await,
        Command::Restore(args) => restore::run(cx, *args).await,
        Command::Verify(args) => verify::run(cx, args).await,
        Command::History(args) => history::run(cx, args),
        Command::Recover(args) => recover::run(cx, args).await,
        Command::Daemon(args) => daemon::run(cx, args).await,
        Command::WriteUnits(args) => write_units::run(cx, args).await,
        Command::Completions(args) => completions::run(cx, args),
        Command::Man(args) => man::run(cx, args, program),
        Command::Config(args) => config_v1::run(cx, args).await,
        Command::Version(args) => version::run(cx, args),
    }
}
