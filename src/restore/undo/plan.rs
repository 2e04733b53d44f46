//! What taking a restore back would do, decided before anything is touched: refused when what it would move is not what
//! the restore left.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::list::{State, state};
use crate::base::text;
use crate::context::Context;
use crate::discovery::mount_table::MountTable;
use crate::error::{Exit, Failure, Result};
use crate::model::{BackupId, UnitName};
use crate::quiesce::Place;
use crate::restore::events::Event;
use crate::restore::plan::target::{self, Forbidden};
use crate::swap::attributes::Attributes;
use crate::swap::held::Held;
use crate::swap::journal::{JournalFile, Swap, inode};
use crate::swap::kept::{Before, Replaced, Restored};
use crate::swap::program::{Owed, Program};
use crate::ui::table;

#[derive(Debug, Serialize)]
pub struct Plan {
    /// Of the restore that this is.
    pub restore_id: BackupId,
    pub undoes: BackupId,
    pub unit: UnitName,
    pub targets: Vec<TargetPlan>,
    pub stops: Vec<String>,
    /// Containers that the restore left down: they are started on their own data again.
    pub starts: Vec<String>,
    /// Those of them that were removed since, and are made again.
    pub remakes: Vec<String>,
    pub warnings: Vec<String>,
    #[serde(skip)]
    pub wakes: Vec<Held>,
    /// What ran before the restore.
    #[serde(skip)]
    pub before: Option<Program>,
    /// What runs now, for taking this back.
    #[serde(skip)]
    pub now: Option<Program>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TargetPlan {
    pub what: String,
    pub target: PathBuf,
    /// What comes back; `None` for an empty directory.
    pub from: Option<PathBuf>,
    /// Where what was restored will be kept.
    pub kept: PathBuf,
    #[serde(skip)]
    pub swap: Swap,
    /// What an empty directory has itself.
    #[serde(skip)]
    pub empty: Option<Attributes>,
}

/// Blocks.
pub fn look(restored: &Restored, all: &[Restored], journals: &Path) -> Result<Plan> {
    let mounts = MountTable::read();
    let refuse = |why: anyhow::Error| {
        Failure::new(
            Exit::UnitsFailed,
            format!(
                "restore {} of unit `{}` cannot be taken back",
                restored.id, restored.unit
            ),
        )
        .note("nothing was changed")
        .caused_by(why)
    };
    let mut id = JournalFile::next_id(journals);
    let targets = loop {
        let planned = restored
            .replaced
            .iter()
            .map(|replaced| plan_one(replaced, restored, all, &mounts, id))
            .collect::<Result<Vec<_>>>();
        let targets: Vec<TargetPlan> = planned.map_err(refuse)?.into_iter().flatten().collect();
        let is_taken = targets
            .iter()
            .any(|target| target.kept.exists() || target.swap.staging.exists());
        if !is_taken {
            break targets;
        }
        id = id.next();
    };
    if targets.is_empty() {
        return Err(refuse(anyhow::anyhow!("nothing was there before it")).into());
    }
    let new = restored
        .replaced
        .iter()
        .filter(|replaced| replaced.before == Before::Nothing);
    let mut warnings: Vec<String> = new
        .map(|replaced| format!("{} was not there before: it stays as it is", replaced.what))
        .collect();
    for name in &restored.new_volumes {
        let what = format!("volume `{name}`");
        if !warnings.iter().any(|warning| warning.starts_with(&what)) {
            warnings.push(format!("{what} was made by the restore: it stays"));
        }
    }
    Ok(Plan {
        restore_id: id,
        undoes: restored.id,
        unit: restored.unit.clone(),
        targets,
        stops: Vec::new(),
        starts: Vec::new(),
        remakes: Vec::new(),
        warnings,
        wakes: Vec::new(),
        before: restored.before.clone(),
        now: None,
    })
}

/// `None` for what was not there before.
fn plan_one(
    replaced: &Replaced,
    restored: &Restored,
    all: &[Restored],
    mounts: &MountTable,
    id: BackupId,
) -> Result<Option<TargetPlan>> {
    let target = &replaced.target;
    let (from, empty) = match &replaced.before {
        Before::Nothing => return Ok(None),
        Before::Empty { attributes } => (None, Some(attributes.clone())),
        Before::Kept { path, inode } => {
            match state(replaced, path, *inode)? {
                State::Kept => {}
                State::Incomplete => anyhow::bail!(
                    "what was kept in `{}` is half removed: `--discard-safety` was interrupted",
                    path.display()
                ),
                State::Gone => anyhow::bail!("what was kept in `{}` is gone", path.display()),
                _ => anyhow::bail!("what was kept in `{}` was replaced by hand", path.display()),
            }
            (Some(path.clone()), None)
        }
    };
    if inode(target)? != Some(replaced.inode) {
        anyhow::bail!(
            "`{}` is not what that restore put there: it was replaced by a later restore or by someone else",
            target.display()
        );
    }
    let later = all.iter().find(|other| {
        other.id > restored.id && other.replaced.iter().any(|it| it.target == *target)
    });
    // The directory is the same through all restores: its number tells nothing.
    if let (Some(later), Some(_)) = (later, &replaced.root) {
        anyhow::bail!("restore {} of {} came later", later.id, replaced.what);
    }
    let stays: Vec<PathBuf> = replaced
        .holes
        .0
        .iter()
        .map(|hole| target.join(hole))
        .collect();
    let looked = target::look(target, mounts, &Forbidden::default(), &stays)?;
    let mut swap = match &replaced.root {
        Some(_) => Swap::within(replaced.what.clone(), target.clone(), id, replaced.inode),
        None if looked.fixed.is_some() => {
            anyhow::bail!("`{}` cannot be renamed any more", target.display())
        }
        None => Swap::new(replaced.what.clone(), target.clone(), id),
    };
    swap.key.clone_from(&replaced.key);
    swap.copy.clone_from(&from);
    if replaced.beneath.is_some() && looked.path != *target {
        anyhow::bail!("there is a link on the way to `{}` now", target.display());
    }
    swap.beneath.clone_from(&replaced.beneath);
    if let Some(within) = &mut swap.within {
        within.new_root.clone_from(&replaced.root);
        within.holes.clone_from(&replaced.holes);
    }
    Ok(Some(TargetPlan {
        what: replaced.what.clone(),
        target: target.clone(),
        kept: swap.kept.clone(),
        from,
        swap,
        empty,
    }))
}

impl Plan {
    pub fn swapped(&self) -> Vec<Place> {
        let sources = self.targets.iter().filter_map(|target| {
            Some(Place {
                key: target.swap.key.clone()?,
                path: target.target.clone(),
            })
        });
        sources.collect()
    }

    /// What is brought up after the data.
    pub fn owed(&self) -> Option<Owed> {
        Some(Owed {
            program: self.before.clone()?,
            gone: self.remakes.clone(),
        })
    }

    /// The commands that make again what was removed.
    pub fn up(&self) -> Option<Vec<String>> {
        Some(self.before.as_ref()?.up.as_ref()?.commands())
    }

    pub fn question(&self) -> String {
        let what = format!("Take back restore {} of `{}`", self.undoes, self.unit);
        if self.stops.is_empty() {
            return format!("{what}?");
        }
        let stopped = text::count(self.stops.len(), "container");
        format!("{what}, with {stopped} stopped for a moment?")
    }

    pub fn show(&self, cx: &Context, is_dry: bool) {
        if cx.ui.json {
            if is_dry {
                cx.ui.answer_json(&json!({ "plan": self }));
            } else {
                cx.ui.event(&Event::UndoPlanned { plan: self });
            }
            return;
        }
        if is_dry {
            cx.ui.answer(self.text());
        } else {
            cx.ui.say(self.text());
        }
        for warning in &self.warnings {
            cx.ui.warn(warning);
        }
    }

    fn text(&self) -> String {
        let rows = self.targets.iter().map(|target| {
            let from = target.from.as_ref();
            [
                target.what.clone(),
                target.target.display().to_string(),
                from.map_or_else(
                    || "an empty directory".to_owned(),
                    |from| from.display().to_string(),
                ),
            ]
        });
        let stops = if self.stops.is_empty() {
            "No container is stopped.".to_owned()
        } else {
            format!("Stopped for a moment: {}", self.stops.join(", "))
        };
        let mut stops = stops;
        if !self.starts.is_empty() {
            let names = self.starts.join(", ");
            stops.push_str(&format!("\nStarted on their own data again: {names}"));
        }
        if let (false, Some(up)) = (self.remakes.is_empty(), self.up()) {
            let names = self.remakes.join(", ");
            let commands = up.join("\n  ");
            stops.push_str(&format!("\nMade again: {names}\n  {commands}"));
        }
        format!(
            "Taking back restore {} of `{}`\n\n{}\n\n{stops}",
            self.undoes,
            self.unit,
            table::table(["DATA", "TARGET", "COMES BACK"], &[], rows)
        )
    }
}
