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

use crate::cli::Command;
use crate::context::Context;
use crate::error::Result;
use crate::shutdown::Hangup;

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

/// Runs `command`; `Ok` holds the exit code of a command that did its work (0, or 3 when some units failed).
pub async fn run(command: Command, cx: &Context) -> Result<u8> {
    if only_looks(&command) {
        return cx.shutdown.cut("the command", dispatch(command, cx)).await;
    }
    dispatch(command, cx).await
}

async fn dispatch(command: Command, cx: &Context) -> Result<u8> {
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
        Command::Man(args) => man::run(cx, args),
        Command::Config(args) => config_v1::run(cx, args).await,
        Command::Version(args) => version::run(cx, args),
    }
}
