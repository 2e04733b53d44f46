//! What a restore left behind, in `<state>/restored/<restore id>.json`: written before the journal goes, so that a kill
//! between them loses neither. It also says that the restore is done: what was put in place is the services' own by now.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::attributes::Attributes;
use super::held::Held;
use super::holes::Holes;
use super::journal::{Journal, PointName, Swap, inode};
use super::program::{Owed, Program};
use crate::base::files;
use crate::error::Result;
use crate::model::{BackupId, SourceKey, UnitName};

const FORMAT: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restored {
    pub format: u32,
    /// The restore's own id, which is in the names of its safety copies.
    pub id: BackupId,
    pub unit: UnitName,
    pub point: Option<PointName>,
    /// The restore that this one took back.
    pub undoes: Option<BackupId>,
    pub restored_at: DateTime<Utc>,
    pub socket: PathBuf,
    pub replaced: Vec<Replaced>,
    /// What was not there before, and stays when the restore is taken back.
    pub new_volumes: Vec<String>,
    pub new_folders: Vec<PathBuf>,
    /// Containers that it left down: they belong to what was there before. Empty in records of older versions, as is all below.
    #[serde(default)]
    pub held: Vec<Held>,
    /// What brings up the containers that were there before, should they have been replaced since.
    #[serde(default)]
    pub before: Option<Program>,
    /// What this one, which takes another back, has not brought up yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owed: Option<Owed>,
}

/// One swap, as it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replaced {
    /// As the operator knows it: ``volume `db` ``.
    pub what: String,
    /// `None` for a file of the recipe.
    pub key: Option<SourceKey>,
    pub target: PathBuf,
    /// Inode number of what is at `target` since then.
    pub inode: u64,
    /// Set where the target is the same directory as before: what it had itself.
    pub root: Option<Attributes>,
    /// What stayed where it was in the target.
    #[serde(default)]
    pub holes: Holes,
    /// The directory in which the target may lead elsewhere by now.
    #[serde(default)]
    pub beneath: Option<PathBuf>,
    pub before: Before,
    /// The file system gives a renamed file another number.
    #[serde(default)]
    pub by_names: bool,
}

/// What was there before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    Nothing,
    /// A directory without anything in it.
    Empty {
        attributes: Attributes,
    },
    Kept {
        path: PathBuf,
        inode: u64,
    },
}

impl Restored {
    /// What `journal` says and the disk knows, after every swap.
    fn of(journal: &Journal) -> Result<Self> {
        let replaced = journal.swaps.iter();
        let replaced = replaced.map(|swap| Replaced::of(swap, &journal.new_volumes));
        Ok(Self {
            new_volumes: journal.new_volumes.clone(),
            new_folders: journal.new_folders.clone(),
            undoes: journal.undoes,
            held: journal.holds.clone(),
            before: journal.before.clone(),
            owed: journal.owed.clone(),
            ..Self::with(journal, replaced.collect::<Result<_>>()?)
        })
    }

    /// Of a restore that was taken back while services were at work on what was half done: what they had is kept.
    fn taken_back(journal: &Journal) -> Result<Self> {
        let mut replaced = Vec::new();
        for swap in &journal.swaps {
            let since = swap.since();
            if let (Some(number), Some(now)) = (inode(&since)?, inode(&swap.target)?) {
                let moves = swap
                    .within
                    .as_ref()
                    .and_then(|within| within.moves.as_ref());
                replaced.push(Replaced {
                    what: swap.what.clone(),
                    key: swap.key.clone(),
                    target: swap.target.clone(),
                    inode: now,
                    root: moves.map(|moves| moves.old_root.clone()),
                    holes: swap.holes(),
                    beneath: swap.beneath.clone(),
                    before: Before::Kept {
                        path: since,
                        inode: number,
                    },
                    by_names: swap.by_names,
                });
            }
        }
        Ok(Self::with(journal, replaced))
    }

    fn with(journal: &Journal, replaced: Vec<Replaced>) -> Self {
        Self {
            format: FORMAT,
            id: journal.id,
            unit: journal.unit.clone(),
            point: journal.point.clone(),
            undoes: None,
            restored_at: Utc::now(),
            socket: journal.socket.clone(),
            replaced,
            new_volumes: Vec::new(),
            new_folders: Vec::new(),
            held: Vec::new(),
            before: None,
            owed: None,
        }
    }

    pub fn copies(&self) -> impl Iterator<Item = (&Replaced, &Path, u64)> {
        self.replaced
            .iter()
            .filter_map(|replaced| match &replaced.before {
                Before::Kept { path, inode } => Some((replaced, path.as_path(), *inode)),
                _ => None,
            })
    }
}

impl Replaced {
    fn of(swap: &Swap, new_volumes: &[String]) -> Result<Self> {
        let moves = swap.within.as_ref().and_then(|within| {
            let moves = within.moves.as_ref()?;
            Some((within.root_inode, moves))
        });
        let empty = match moves {
            Some((_, moves)) => moves.old.is_empty().then(|| moves.old_root.clone()),
            None => swap.old_empty.clone(),
        };
        let kept = match moves {
            // Made when it was swapped: it has no number that the journal knows.
            Some(_) => inode(&swap.kept)?.map(|inode| (swap.kept.clone(), inode)),
            None => old_place(swap)?,
        };
        // Where numbers go by names it has the number of its new name.
        let new_inode = if swap.by_names {
            inode(&swap.target)?
        } else {
            swap.new_inode
        };
        let is_new =
            matches!(&swap.key, Some(SourceKey::Volume { name }) if new_volumes.contains(name));
        let before = match (empty, kept) {
            // Docker makes its directory with it.
            (Some(_), _) if is_new => Before::Nothing,
            (Some(attributes), _) => Before::Empty { attributes },
            (None, Some((path, inode))) => Before::Kept { path, inode },
            (None, None) => Before::Nothing,
        };
        Ok(Self {
            what: swap.what.clone(),
            key: swap.key.clone(),
            target: swap.target.clone(),
            inode: moves
                .map(|(root, _)| root)
                .or(new_inode)
                .with_context(|| format!("it is not known what took the place of {}", swap.what))?,
            root: moves.map(|(_, moves)| moves.old_root.clone()),
            holes: swap.holes(),
            beneath: swap.beneath.clone(),
            before,
            by_names: swap.by_names,
        })
    }
}

/// Where the old content is: under its name, or, when it could not be given that, still where it was swapped to.
fn old_place(swap: &Swap) -> Result<Option<(PathBuf, u64)>> {
    let Some(old) = swap.old_inode else {
        return Ok(None);
    };
    for path in [swap.kept.clone(), swap.content()] {
        let found = inode(&path)?;
        if found == Some(old) {
            return Ok(Some((path, old)));
        }
        if let (true, Some(found)) = (swap.by_names, found) {
            return Ok(Some((path, found)));
        }
    }
    Ok(None)
}

/// The directory of the records, beside that of the journals.
pub fn folder(journals: &Path) -> PathBuf {
    journals.with_file_name("restored")
}

pub fn path(journals: &Path, id: BackupId) -> PathBuf {
    folder(journals).join(format!("{id}.json"))
}

/// Writes the record of the restore in `journal`.
pub fn write(journals: &Path, journal: &Journal) -> Result<()> {
    save(journals, &Restored::of(journal)?)
}

/// Writes down what is kept of the time in which the restore in `journal` was half done; nothing when that is nothing.
pub fn write_taken_back(journals: &Path, journal: &Journal) -> Result<()> {
    let restored = Restored::taken_back(journal)?;
    if restored.replaced.is_empty() {
        return Ok(());
    }
    save(journals, &restored)
}

/// Writes down that what restore `id` had to bring up is done, or was told. Without a record there is nothing to do.
pub fn forget_owed(journals: &Path, id: BackupId) -> Result<()> {
    let (all, _) = read_all(journals)?;
    match all.into_iter().find(|restored| restored.id == id) {
        Some(restored) if restored.owed.is_some() => save(
            journals,
            &Restored {
                owed: None,
                ..restored
            },
        ),
        _ => Ok(()),
    }
}

fn save(journals: &Path, restored: &Restored) -> Result<()> {
    files::write(
        &path(journals, restored.id),
        &serde_json::to_vec_pretty(restored)?,
    )
    .context("the record of the restore cannot be written")
}

/// Every record, the newest first, and the files that are none.
pub fn read_all(journals: &Path) -> Result<(Vec<Restored>, Vec<PathBuf>)> {
    let found = files::read_all(&folder(journals), |bytes| {
        let restored: Restored = serde_json::from_slice(bytes).ok()?;
        (restored.format == FORMAT).then_some(restored)
    })?;
    let mut all: Vec<Restored> = found.good.into_iter().map(|(_, it)| it).collect();
    all.sort_by_key(|restored| std::cmp::Reverse(restored.id));
    Ok((all, found.damaged))
}
