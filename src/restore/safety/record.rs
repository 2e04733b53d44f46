//! What a restore left behind, in `<state>/restored/<restore id>.json`: written before the journal goes, so that a kill
//! between them loses neither. It also says that the restore is done: what was put in place is the services' own by now.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::{BackupId, SourceKey, UnitName};
use crate::restore::attributes::Attributes;
use crate::restore::held::Held;
use crate::restore::journal::{Journal, PointName, Swap, inode};
use crate::restore::rebuild::Program;
use crate::state;

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
    /// Set where the target is the same folder as before: what it had itself.
    pub root: Option<Attributes>,
    pub before: Before,
}

/// What was there before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    Nothing,
    /// A folder without anything in it.
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
        Ok(Self {
            format: FORMAT,
            id: journal.id,
            unit: journal.unit.clone(),
            point: journal.point.clone(),
            undoes: journal.undoes,
            restored_at: Utc::now(),
            socket: journal.socket.clone(),
            replaced: journal
                .swaps
                .iter()
                .map(|swap| Replaced::of(swap, &journal.new_volumes))
                .collect::<Result<_>>()?,
            new_volumes: journal.new_volumes.clone(),
            new_folders: journal.new_folders.clone(),
            held: journal.holds.clone(),
            before: journal.before.clone(),
        })
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
        let is_new =
            matches!(&swap.key, Some(SourceKey::Volume { name }) if new_volumes.contains(name));
        let before = match (empty, kept) {
            // Docker makes its folder with it.
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
                .or(swap.new_inode)
                .with_context(|| format!("it is not known what took the place of {}", swap.what))?,
            root: moves.map(|(_, moves)| moves.old_root.clone()),
            before,
        })
    }
}

/// Where the old content is: under its name, or, when it could not be given that, still where it was swapped to.
fn old_place(swap: &Swap) -> Result<Option<(PathBuf, u64)>> {
    let Some(old) = swap.old_inode else {
        return Ok(None);
    };
    for path in [swap.kept.clone(), swap.content()] {
        if inode(&path)? == Some(old) {
            return Ok(Some((path, old)));
        }
    }
    Ok(None)
}

/// The folder of the records, beside that of the journals.
pub fn folder(journals: &Path) -> PathBuf {
    journals.with_file_name("restored")
}

pub fn path(journals: &Path, id: BackupId) -> PathBuf {
    folder(journals).join(format!("{id}.json"))
}

/// Writes the record of the restore in `journal`.
pub fn write(journals: &Path, journal: &Journal) -> Result<()> {
    let restored = Restored::of(journal)?;
    state::write(
        &path(journals, journal.id),
        &serde_json::to_vec_pretty(&restored)?,
    )
    .context("the record of the restore can't be written")
}

/// Every record, the newest first, and the files that are none.
pub fn read_all(journals: &Path) -> Result<(Vec<Restored>, Vec<PathBuf>)> {
    let found = state::read_all(&folder(journals), |bytes| {
        let restored: Restored = serde_json::from_slice(bytes).ok()?;
        (restored.format == FORMAT).then_some(restored)
    })?;
    let mut all: Vec<Restored> = found.good.into_iter().map(|(_, it)| it).collect();
    all.sort_by_key(|restored| std::cmp::Reverse(restored.id));
    Ok((all, found.damaged))
}
