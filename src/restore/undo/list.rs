//! What is kept, and where: what the records say, compared with the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;

use super::asked::records;
use crate::base::blocking::{aside, looked_up};
use crate::base::text;
use crate::context::Context;
use crate::discovery::{self, Rules};
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::{BackupId, UnitName};
use crate::swap::journal::inode;
use crate::swap::kept::{Before, Replaced, Restored};
use crate::swap::marks::{self, Mark};
use crate::ui::table;

/// How long counting the bytes of one copy may take.
const MEASURE_PATIENCE: Duration = Duration::from_secs(10);

/// Fields are only ever added.
#[derive(Clone, Debug, Serialize)]
struct Listed {
    restore_id: BackupId,
    unit: UnitName,
    what: String,
    target: PathBuf,
    /// `None` where an empty directory was: nothing of it is on the disk.
    path: Option<PathBuf>,
    kept_since: DateTime<Utc>,
    bytes: Option<u64>,
    state: State,
    /// `restore --undo` takes all of a restore back, or nothing.
    can_be_undone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Kept,
    Empty,
    /// It was removed by someone else.
    Gone,
    /// Something else has its name.
    Changed,
    /// Its removal was interrupted: it is not whole, and cannot be put back.
    Incomplete,
    /// Found by its name: no record tells of it.
    Unrecorded,
}

impl State {
    fn words(self) -> &'static str {
        match self {
            Self::Kept => "",
            Self::Empty => "was empty",
            Self::Gone => "gone",
            Self::Changed => "changed by hand",
            Self::Incomplete => "half removed: discard it again",
            Self::Unrecorded => "no record: remove it by hand",
        }
    }
}

pub fn state(replaced: &Replaced, path: &Path, number: u64) -> Result<State> {
    let rest = || -> Result<bool> {
        let found = inode(&marks::renamed(path, Mark::Drop))?;
        Ok(found == Some(number) || (replaced.by_names && found.is_some()))
    };
    Ok(match inode(path)? {
        None if rest()? => State::Incomplete,
        None => State::Gone,
        Some(found) if found == number => State::Kept,
        Some(_) => State::Changed,
    })
}

pub async fn run(cx: &Context, journals: &Path, unit: Option<&UnitName>) -> Result<u8> {
    let all = records(cx, journals, None)?;
    let known: BTreeSet<PathBuf> = all
        .iter()
        .flat_map(Restored::copies)
        .map(|(_, path, _)| path.to_owned())
        .collect();
    let mut listed = looked_up(aside(move || recorded(&all))).await?;
    match unrecorded(cx, known).await {
        Ok(found) => listed.extend(found),
        Err(error) => cx.ui.warn(format!(
            "copies that no record tells of cannot be looked for: {error:#}"
        )),
    }
    listed.retain(|copy| unit.is_none_or(|unit| copy.unit == *unit));
    listed.sort_by_key(|copy| std::cmp::Reverse(copy.restore_id));
    for copy in &mut listed {
        let Some(path) = &copy.path else { continue };
        if matches!(copy.state, State::Kept | State::Unrecorded) {
            let walk = discovery::measure(path, &[]);
            let size = tokio::time::timeout(MEASURE_PATIENCE, walk).await;
            copy.bytes = size.ok().and_then(Result::ok).map(|size| size.bytes);
        }
    }
    show(cx, &listed);
    Ok(0)
}

/// A restore of which nothing is there any more is left out.
fn recorded(all: &[Restored]) -> Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for restored in all {
        let copies = restored
            .replaced
            .iter()
            .map(|replaced| of(restored, replaced))
            .collect::<Result<Vec<_>>>()?;
        let mut copies: Vec<Listed> = copies.into_iter().flatten().collect();
        let is_whole = copies
            .iter()
            .all(|copy| matches!(copy.state, State::Kept | State::Empty));
        for copy in &mut copies {
            copy.can_be_undone = is_whole;
        }
        if copies.iter().any(|copy| copy.state != State::Gone) {
            listed.extend(copies);
        }
    }
    Ok(listed)
}

fn of(restored: &Restored, replaced: &Replaced) -> Result<Option<Listed>> {
    let (path, state) = match &replaced.before {
        Before::Nothing => return Ok(None),
        Before::Empty { .. } => (None, State::Empty),
        Before::Kept { path, inode } => (Some(path.clone()), state(replaced, path, *inode)?),
    };
    Ok(Some(Listed {
        restore_id: restored.id,
        unit: restored.unit.clone(),
        what: replaced.what.clone(),
        target: replaced.target.clone(),
        path,
        kept_since: restored.restored_at,
        bytes: None,
        state,
        can_be_undone: false,
    }))
}

/// Beside and inside what the units of this host have now.
async fn unrecorded(cx: &Context, known: BTreeSet<PathBuf>) -> Result<Vec<Listed>> {
    let config = cx.config()?.config;
    let engine = Engine::connect(&config.docker.socket).await?;
    let host = discovery::discover(&engine, &Rules::of(&config, &cx.paths)).await?;
    let targets: Vec<(UnitName, String, PathBuf)> = host
        .units
        .iter()
        .flat_map(|unit| {
            let sources = unit
                .sources
                .iter()
                .map(|source| (source.key.to_string(), source.path.clone()));
            let files = unit.compose.iter().flat_map(|compose| {
                let files = compose
                    .groups
                    .iter()
                    .flat_map(|group| group.files.iter().chain(&group.env_files));
                files.map(|file| (format!("`{}`", file.display()), file.clone()))
            });
            sources
                .chain(files)
                .map(|(what, path)| (unit.name.clone(), what, path))
                .collect::<Vec<_>>()
        })
        .collect();
    looked_up(aside(move || {
        let mut known = known;
        let mut listed = Vec::new();
        for (unit, what, target) in targets {
            for (path, id) in copies_of(&target) {
                if known.insert(path.clone()) {
                    listed.push(Listed {
                        restore_id: id,
                        unit: unit.clone(),
                        what: what.clone(),
                        target: target.clone(),
                        path: Some(path),
                        kept_since: id.time(),
                        bytes: None,
                        state: State::Unrecorded,
                        can_be_undone: false,
                    });
                }
            }
        }
        Ok(listed)
    }))
    .await
}

/// What is named as a copy of `target`. A directory that cannot be read has none.
fn copies_of(target: &Path) -> Vec<(PathBuf, BackupId)> {
    let parent = target.parent().unwrap_or(target);
    [parent, target]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|entry| {
            let name = entry.file_name();
            let (_, mark, id) = marks::parse(&name)?;
            let path = entry.path();
            let is_kept = matches!(mark, Mark::Before | Mark::Since);
            let is_of_it = is_kept && marks::is_copy_of(&path, target, id);
            is_of_it.then_some((path, id))
        })
        .collect()
}

fn show(cx: &Context, listed: &[Listed]) {
    if cx.ui.json {
        cx.ui.answer_json(&json!({ "safety_copies": listed }));
        return;
    }
    if listed.is_empty() {
        cx.ui
            .answer("Nothing is kept: no restore has replaced anything, or it was discarded.");
        return;
    }
    let now = Utc::now();
    let rows = listed.iter().map(|copy| {
        [
            copy.restore_id.to_string(),
            copy.unit.to_string(),
            copy.what.clone(),
            copy.path
                .as_ref()
                .map_or_else(|| "-".to_owned(), |path| path.display().to_string()),
            format!("{} ago", text::age(copy.kept_since, now)),
            copy.bytes.map_or_else(|| "-".to_owned(), text::bytes),
            match copy.state {
                State::Kept if !copy.can_be_undone => {
                    "cannot be put back: another part is gone or changed".to_owned()
                }
                state => state.words().to_owned(),
            },
        ]
    });
    cx.ui.answer(table::table(
        ["RESTORE ID", "UNIT", "OF", "KEPT AT", "SINCE", "SIZE", ""],
        &[5],
        rows,
    ));
    cx.ui.answer(
        "\nPut back: kopi-docka restore --undo ID\nRemove:   kopi-docka restore --discard-safety ID",
    );
}
