//! One file a command: its arguments and `run`. No logic that two commands would share.

pub mod backup;
pub mod change_password;
pub mod check;
pub mod completions;
mod config_page;
pub mod config_v1;
pub mod daemon;
pub mod disaster_recovery;
pub mod drill;
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
mod mark_clean;
pub mod new_config;
pub mod notify;
pub mod recover;
pub mod repo_maintenance;
pub mod repo_status;
pub mod repo_which_config;
pub mod reset_config;
pub mod restore;
pub mod retry;
pub mod setup;
pub mod show_config;
pub mod show_deps;
pub mod status;
pub mod verify;
pub mod version;
pub mod write_units;

use std::future::ready;

use clap::Subcommand;
use futures_util::future::{FutureExt as _, LocalBoxFuture};

use crate::base::shutdown::Hangup;
use crate::context::Context;
use crate::error::Result;

/// The commands as the help shows them.
pub const GROUPS: [(&str, &[&str]); 5] = [
    (
        "Setup",
        &[
            "setup",
            "check",
            "install-deps",
            "show-deps",
            "new-config",
            "edit-config",
            "show-config",
            "reset-config",
        ],
    ),
    (
        "Backup",
        &[
            "backup",
            "dry-run",
            "estimate-size",
            "list",
            "history",
            "status",
        ],
    ),
    (
        "Restore",
        &["restore", "verify", "drill", "recover", "disaster-recovery"],
    ),
    (
        "Repository",
        &[
            "init",
            "repo-status",
            "repo-which-config",
            "repo-maintenance",
            "change-password",
        ],
    ),
    (
        "Service",
        &[
            "daemon",
            "write-units",
            "notify",
            "completions",
            "man",
            "version",
        ],
    ),
];

/// All commands, in the order of the README.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set everything up, step by step, to the first backup
    ///
    /// Installs programs, writes the configuration, creates the repository, shows what will be saved and starts the timer. Steps that are
    /// done are skipped: run it again to continue.
    Setup(setup::Args),
    /// Create a configuration, asking for the repository and its password
    NewConfig(new_config::Args),
    /// Edit the configuration; it is validated before it is saved
    EditConfig(edit_config::Args),
    /// Remove the configuration, keeping a dated copy
    ResetConfig(reset_config::Args),
    /// Check everything a backup needs, with a remedy for each finding
    ///
    /// Programs, configuration, Docker, what a backup would not save, the repository, free space, what an interrupted run left, the last
    /// backup of every unit, and what starts the next one. Changes nothing, so it can run beside a backup. The exit code is 0 unless a
    /// check failed; warnings do not change it.
    #[command(alias = "doctor")]
    Check(check::Args),
    /// Install missing programs
    ///
    /// Prints the commands for this distribution, asks for confirmation, runs them and checks again. Kopia comes from its own signed
    /// package repository, whose key is verified by its fingerprint.
    #[command(alias = "install")]
    InstallDeps(install_deps::Args),
    /// Show how to install the required programs manually
    ShowDeps(show_deps::Args),
    /// Show the effective configuration, secrets masked
    ShowConfig(show_config::Args),
    /// Change the repository password
    ///
    /// Changes it in the repository, stores it in place of the old one (password file or configuration), and proves that it opens the
    /// repository. If it is interrupted, the next run finds out which password is valid and finishes.
    ChangePassword(change_password::Args),
    /// Create the repository, or connect to an existing one
    Init(init::Args),
    /// Show the state of the repository
    ///
    /// With `--verbose` also its size, for which every object in its storage is listed.
    RepoStatus(repo_status::Args),
    /// Show which configuration, connection, cache and identity are used
    RepoWhichConfig(repo_which_config::Args),
    /// Apply retention and run Kopia maintenance
    ///
    /// Both run automatically after a backup, maintenance when it is due.
    RepoMaintenance(repo_maintenance::Args),
    /// List backup units or restore points
    List(list::Args),
    /// Back up all units, or the named ones
    Backup(backup::Args),
    /// Show what a backup would do, and change nothing
    ///
    /// What is stopped in which order, what is read, what is left out and why, and the estimated downtime. The exit code is 3 when a unit
    /// would certainly fail, and that of the cause when the whole run would.
    DryRun(dry_run::Args),
    /// Estimate how much a backup would read
    EstimateSize(estimate_size::Args),
    /// Restore a unit, volumes or files
    Restore(Box<restore::Args>),
    /// Verify that restore points can be read back
    ///
    /// Reads recipes and data from the storage itself, bypassing Kopia's cache, and checks that every stream has its length and is a valid
    /// archive. Stops no container, does not need Docker, and does not block backups. `list --snapshots` shows the results.
    Verify(verify::Args),
    /// Boot a restored copy of a unit in isolation, and see whether it comes back
    ///
    /// Restores a point as a project of its own and starts it: no published ports, only internal networks, nothing of the host mounted, the
    /// images that were saved. Waits until it is healthy, runs the probes of the configuration, tells the time to recover, and removes it. The
    /// original is not touched. The exit code is 3 if it is not good.
    Drill(drill::Args),
    /// Make a recovery bundle, with which a new host reaches the backups, or check one
    ///
    /// One encrypted file with the configuration, the connection and the password of the repository, and the credentials of the storage.
    /// `openssl` opens it too; the `.README` beside it says how. The exit code is 3 if the bundle lacks something. With `--check`: 12 if the
    /// password does not open it, 16 if it is damaged.
    DisasterRecovery(disaster_recovery::Args),
    /// Show the results of earlier runs
    History(history::Args),
    /// Show all units at a glance: last point, grade, downtime and size of the last runs, drill
    ///
    /// By what runs left on this host; the repository is not asked. A bar stands for a run, a dot for one that saved nothing.
    Status(status::Args),
    /// Run as a daemon, optionally backing up at an interval
    ///
    /// Starts what an interrupted run left stopped, then waits. SIGTERM ends it, once all containers run again; SIGHUP reloads the
    /// configuration.
    Daemon(daemon::Args),
    /// Write the systemd units for this configuration
    ///
    /// Timer and backup, daemon, and recovery at boot. Run it again after a change of the configuration; drop-ins made with
    /// `systemctl edit` stay.
    WriteUnits(write_units::Args),
    /// Send a test message to everybody who is told of runs and problems
    ///
    /// Sends one to each target of `notify` in the configuration and shows whether it was taken. The exit code is 3 if one was not, and 4 if there is no
    /// target.
    Notify(notify::Args),
    /// Start what an interrupted run left stopped, and finish its restores
    Recover(recover::Args),
    /// Generate shell completions
    Completions(completions::Args),
    /// Show or write the manual pages
    Man(man::Args),
    /// Spelling of version 1
    #[command(hide = true)]
    Config(config_v1::Args),
    /// Make a backup that could not reach the repository, now that it answers; for the timer
    #[command(hide = true)]
    Retry(retry::Args),
    /// Note that this machine starts or shuts down, for the proof that files are unchanged; for the unit
    #[command(hide = true)]
    MarkClean(mark_clean::Args),
    /// Show version information
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
        Command::DisasterRecovery(args) => (!args.only_answers()).then_some("disaster-recovery"),
        Command::Setup(_) => Some("setup"),
        Command::Verify(_) => Some("verify"),
        Command::Drill(_) => Some("drill"),
        Command::Daemon(_) => Some("daemon"),
        Command::Notify(_) => Some("notify"),
        Command::Recover(_) => Some("recover"),
        Command::Retry(_) => Some("retry"),
        Command::MarkClean(_) => Some("mark-clean"),
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
        | Command::Status(_)
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

fn dispatch(
    command: Command,
    cx: &Context,
    program: clap::Command,
) -> LocalBoxFuture<'_, Result<u8>> {
    match command {
        Command::Setup(args) => later(move || setup::run(cx, args)),
        Command::NewConfig(args) => later(move || new_config::run(cx, args)),
        Command::EditConfig(args) => later(move || edit_config::run(cx, args)),
        Command::ResetConfig(args) => later(move || reset_config::run(cx, args)),
        Command::Check(args) => later(move || check::run(cx, args)),
        Command::InstallDeps(args) => later(move || install_deps::run(cx, args)),
        Command::ShowDeps(args) => later(move || ready(show_deps::run(cx, args))),
        Command::ShowConfig(args) => later(move || ready(show_config::run(cx, args))),
        Command::ChangePassword(args) => later(move || change_password::run(cx, args)),
        Command::Init(args) => later(move || init::run(cx, args)),
        Command::RepoStatus(args) => later(move || repo_status::run(cx, args)),
        Command::RepoWhichConfig(args) => later(move || ready(repo_which_config::run(cx, args))),
        Command::RepoMaintenance(args) => later(move || repo_maintenance::run(cx, args)),
        Command::List(args) => later(move || list::run(cx, args)),
        Command::Backup(args) => later(move || backup::run(cx, args)),
        Command::DisasterRecovery(args) => later(move || disaster_recovery::run(cx, args)),
        Command::DryRun(args) => later(move || dry_run::run(cx, args)),
        Command::EstimateSize(args) => later(move || estimate_size::run(cx, args)),
        Command::Restore(args) => later(move || restore::run(cx, *args)),
        Command::Verify(args) => later(move || verify::run(cx, args)),
        Command::Drill(args) => later(move || drill::run(cx, args)),
        Command::History(args) => later(move || ready(history::run(cx, args))),
        Command::Status(args) => later(move || status::run(cx, args)),
        Command::Notify(args) => later(move || notify::run(cx, args)),
        Command::Recover(args) => later(move || recover::run(cx, args)),
        Command::Retry(args) => later(move || retry::run(cx, args)),
        Command::MarkClean(args) => later(move || mark_clean::run(cx, args)),
        Command::Daemon(args) => later(move || daemon::run(cx, args)),
        Command::WriteUnits(args) => later(move || write_units::run(cx, args)),
        Command::Completions(args) => later(move || ready(completions::run(cx, args))),
        Command::Man(args) => later(move || ready(man::run(cx, args, program))),
        Command::Config(args) => later(move || config_v1::run(cx, args)),
        Command::Version(args) => later(move || ready(version::run(cx, args))),
    }
}

/// On the heap, and made in a frame of its own: unoptimized, all commands would have their place on the stack of each.
#[inline(never)]
fn later<'a, F: Future<Output = Result<u8>> + 'a>(
    make: impl FnOnce() -> F,
) -> LocalBoxFuture<'a, Result<u8>> {
    make().boxed_local()
}
