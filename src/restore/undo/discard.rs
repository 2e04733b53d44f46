//! Removes safety copies for good, and the container that made way for a saved one. Follows no link, enters no other file system, and touches nothing but what has the
//! name that we gave and the inode number that was written down.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::asked::{Choice, Mode, no_such_restore, records};
use super::containers::{self, Containers};
use super::list::{State, state};
use crate::base::blocking::aside;
use crate::base::fault;
use crate::base::files;
use crate::base::lock::Lock;
use crate::base::text;
use crate::context::Context;
use crate::discovery::mount_table::MountTable;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::model::{BackupId, UnitName};
use crate::recovery;
use crate::swap::attributes::keep_time;
use crate::swap::exchange::rename_to_nothing;
use crate::swap::kept::{self, Replaced, Restored};
use crate::swap::marks::{self, Mark};
use crate::ui::prompt;

pub async fn run(
    cx: &Context,
    journals: &Path,
    choice: Choice,
    unit: Option<&UnitName>,
    mode: Mode,
) -> Result<u8> {
    let _lock = Lock::take(&cx.paths.runtime, "restore --discard-safety")?;
    if mode != Mode::DryRun {
        recovery::bring_up_or_tell(cx).await?;
    }
    let mut records = records(cx, journals, unit)?;
    if let Choice::Id(id) = choice {
        records.retain(|record| record.id == id);
        if records.is_empty() {
            return Err(no_such_restore(&format!("restore {id}")).into());
        }
    }
    let paths: Vec<&Path> = records
        .iter()
        .flat_map(Restored::copies)
        .map(|(_, path, _)| path)
        .filter(|path| {
            let rest = marks::renamed(path, Mark::Drop);
            path.symlink_metadata().is_ok() || rest.symlink_metadata().is_ok()
        })
        .collect();
    let mut kept: Vec<Containers> = Vec::new();
    for restored in &records {
        let looked = containers::of(restored);
        kept.push(cx.shutdown.cut("the look at what is kept", looked).await?);
    }
    let aside: Vec<&str> = kept.iter().filter_map(Containers::aside_name).collect();
    if mode == Mode::DryRun {
        show(cx, "Would remove", "would_remove", &paths, &aside);
        return Ok(0);
    }
    if mode == Mode::Ask && !(paths.is_empty() && aside.is_empty()) {
        prompt::confirm(&question(&paths, &aside), "--yes", &cx.shutdown).await?;
    }
    let mut removed = Removed::default();
    for (restored, kept) in records.iter().zip(&kept) {
        let result = remove_all(cx, restored, kept, &mut removed).await;
        if let Err(error) = result.and_then(|()| files::remove(&kept::path(journals, restored.id)))
        {
            show_removed(cx, &removed);
            let exit = match exit_of(&error) {
                Exit::Unexpected => Exit::UnitsFailed,
                exit => exit,
            };
            return Err(Failure::new(
                exit,
                format!("what restore {} keeps was not all removed", restored.id),
            )
            .hint("what is left is listed by `kopi-docka restore --list-safety`")
            .caused_by(error)
            .into());
        }
    }
    show_removed(cx, &removed);
    Ok(0)
}

/// What is gone so far.
#[derive(Default)]
struct Removed {
    paths: Vec<PathBuf>,
    containers: Vec<String>,
}

fn question(paths: &[&Path], aside: &[&str]) -> String {
    let places = (!paths.is_empty()).then(|| {
        let places = text::count(paths.len(), "place");
        format!("what is kept in {places}")
    });
    let containers = aside.iter().map(|name| format!("container `{name}`"));
    let what: Vec<String> = places.into_iter().chain(containers).collect();
    format!("Remove {}, for good?", what.join(" and "))
}

fn show_removed(cx: &Context, removed: &Removed) {
    let paths: Vec<&Path> = removed.paths.iter().map(PathBuf::as_path).collect();
    let containers: Vec<&str> = removed.containers.iter().map(String::as_str).collect();
    show(cx, "Removed", "removed", &paths, &containers);
}

fn show(cx: &Context, words: &str, name: &str, paths: &[&Path], containers: &[&str]) {
    if cx.ui.json {
        cx.ui
            .answer_json(&json!({ name: paths, format!("{name}_containers"): containers }));
        return;
    }
    if paths.is_empty() && containers.is_empty() {
        cx.ui.answer("There is nothing to remove.");
    }
    for path in paths {
        cx.ui.answer(format!("{words} `{}`", path.display()));
    }
    for container in containers {
        cx.ui.answer(format!("{words} container `{container}`"));
    }
}

async fn remove_all(
    cx: &Context,
    restored: &Restored,
    kept: &Containers,
    removed: &mut Removed,
) -> Result<()> {
    // First: while Docker refuses it, nothing is gone.
    let letting_go = kept.let_go();
    let warnings = cx.shutdown.cut_soon("the removing", letting_go).await?;
    for warning in warnings {
        cx.ui.warn(warning);
    }
    let container = kept.aside_name().map(str::to_owned);
    removed.containers.extend(container);
    for (replaced, path, inode) in restored.copies() {
        let (replaced, owned, id) = (replaced.clone(), path.to_owned(), restored.id);
        let removing = aside(move || remove(&replaced, &owned, inode, id));
        let was_there = tokio::select! {
            biased;
            // What is left stays in the record, with the number by which it is known.
            () = cx.shutdown.asked() => {
                return Err(Failure::new(cx.shutdown.exit(), "a signal ended the removing").into());
            }
            was_there = removing => was_there?,
        };
        if was_there {
            removed.paths.push(path.to_owned());
        }
    }
    Ok(())
}

/// Says whether there was anything. What is half removed has another name, so that it is never put back as if it were whole. Blocks.
fn remove(replaced: &Replaced, path: &Path, inode: u64, id: BackupId) -> Result<bool> {
    let rest = marks::renamed(path, Mark::Drop);
    match state(replaced, path, inode)? {
        State::Gone => return Ok(false),
        State::Incomplete => {
            refuse_mounts(&rest)?;
            in_place(replaced, path, || remove_whole(&rest))?;
            return Ok(true);
        }
        State::Kept if marks::is_copy_of(path, &replaced.target, id) => {}
        _ => anyhow::bail!(
            "`{}` is not what the restore left there: look at it, and remove it by hand",
            path.display()
        ),
    }
    refuse_mounts(path)?;
    in_place(replaced, path, || {
        if rest.symlink_metadata().is_ok() {
            remove_whole(&rest)?;
        }
        rename_to_nothing(path, &rest)?;
        files::sync_folder(path.parent().unwrap_or(path))?;
        remove_whole(&rest)
    })?;
    Ok(true)
}

fn refuse_mounts(path: &Path) -> Result<()> {
    let mounts = MountTable::read();
    let is_mounted = mounts.of(path).is_some_and(|entry| entry.point == path);
    if is_mounted || mounts.below(path).next().is_some() {
        anyhow::bail!(
            "another file system is mounted in `{}`: unmount it first",
            path.display()
        );
    }
    Ok(())
}

/// What comes and goes inside a target leaves no trace in the target's own time.
fn in_place(replaced: &Replaced, path: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    if path.starts_with(&replaced.target) {
        keep_time(&replaced.target, work)?;
    } else {
        work()?;
    }
    files::sync_folder(path.parent().unwrap_or(path))
}

fn remove_whole(path: &Path) -> Result<()> {
    let removed = if path.symlink_metadata()?.is_dir() {
        fault::reached_now("discard_remove");
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
