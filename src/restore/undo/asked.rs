//! What the flags `--list-safety`, `--discard-safety` and `--undo` ask for.

use std::str::FromStr;

use super::{discard, list, run as undo};
use crate::context::Context;
use crate::error::{Exit, Failure, Result};
use crate::model::ids::InvalidId;
use crate::model::{BackupId, UnitName};
use crate::swap::kept::{self, Restored};

const EARLIER: &str = "Earlier restores";

#[derive(Clone, Copy, Debug, clap::Args)]
#[group(id = "safety", multiple = false)]
pub struct Args {
    /// List the safety copies that restores keep of the previous data
    #[arg(long, help_heading = EARLIER, conflicts_with_all = ["backup_id", "volumes", "host"])]
    list_safety: bool,

    /// Delete the safety copy of a restore
    #[arg(long, value_name = "ID|all", help_heading = EARLIER, conflicts_with_all = ["backup_id", "volumes", "host"])]
    discard_safety: Option<Choice>,

    /// Put the previous data back; the restored data is kept instead
    #[arg(long, value_name = "ID|latest", help_heading = EARLIER, conflicts_with_all = ["backup_id", "volumes", "host"])]
    undo: Option<Which>,
}

impl Args {
    pub fn only_answers(&self) -> bool {
        self.list_safety
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    All,
    Id(BackupId),
}

impl FromStr for Choice {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "all" => Ok(Self::All),
            id => BackupId::parse(id).map(Self::Id),
        }
    }
}

/// Which restore is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Latest,
    Id(BackupId),
}

impl FromStr for Which {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "latest" => Ok(Self::Latest),
            id => BackupId::parse(id).map(Self::Id),
        }
    }
}

/// Says no to a question before it is asked, or yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Ask,
    Yes,
    DryRun,
}

/// Does what `args` ask for; `None` when that is nothing.
pub async fn run(
    cx: &Context,
    args: Args,
    unit: Option<UnitName>,
    mode: Mode,
) -> Result<Option<u8>> {
    let (journals, unit) = (cx.paths.restore_journals(), unit.as_ref());
    if args.list_safety {
        return list::run(cx, &journals, unit).await.map(Some);
    }
    if let Some(choice) = args.discard_safety {
        return discard::run(cx, &journals, choice, unit, mode)
            .await
            .map(Some);
    }
    if let Some(which) = args.undo {
        return undo::run(cx, which, unit, mode).await.map(Some);
    }
    Ok(None)
}

/// The records of `unit`, or of all, the newest first. What cannot be read is told.
pub fn records(
    cx: &Context,
    journals: &std::path::Path,
    unit: Option<&UnitName>,
) -> Result<Vec<Restored>> {
    let (mut records, damaged) = kept::read_all(journals)?;
    for path in damaged {
        cx.ui.warn(format!(
            "`{}` is not a restore record this version can read",
            path.display()
        ));
    }
    records.retain(|record| unit.is_none_or(|unit| record.unit == *unit));
    Ok(records)
}

pub fn no_such_restore(what: &str) -> Failure {
    Failure::new(Exit::NothingMatched, format!("nothing is kept of {what}"))
        .hint("`kopi-docka restore --list-safety` shows what there is")
}
