//! The id of this machine: random, made once, and bound to what a clone does not share. Host names repeat; a clone brings the
//! whole state directory along. Never here: anything of a repository.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::files;
use crate::base::paths::Paths;
use crate::base::text;
use crate::error::Result;
use crate::model::MachineId;

/// This machine, as of now.
#[derive(Clone, Debug)]
pub struct Machine {
    pub id: MachineId,
    file: PathBuf,
    marks: BTreeMap<PathBuf, String>,
    is_saved: bool,
}

/// As it is in the state directory.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    id: MachineId,
    /// A hash of each mark of the machine that could be read so far: the marks themselves are not for others to see.
    #[serde(default)]
    marks: BTreeMap<PathBuf, String>,
}

impl Machine {
    /// The one that is remembered, or a new one when there is none or when it is that of another machine. Writes nothing.
    pub fn of(paths: &Paths) -> Result<Self> {
        let file = paths.machine();
        let seen = marks(&paths.marks_of_machine);
        let known = std::fs::read(&file)
            .ok()
            // A damaged one is as good as none: what was saved under it stays, and is said to be of another machine.
            .and_then(|bytes| serde_json::from_slice::<Remembered>(&bytes).ok())
            .filter(|known| is_same(&known.marks, &seen));
        Ok(match known {
            Some(known) => {
                // A mark that cannot be read now (another user, a sandbox) is still one of this machine.
                let mut marks = known.marks.clone();
                marks.extend(seen);
                Self {
                    id: known.id,
                    file,
                    is_saved: marks == known.marks,
                    marks,
                }
            }
            None => Self {
                id: new_id()?,
                file,
                marks: seen,
                is_saved: false,
            },
        })
    }

    /// For who writes into a repository: from now on it stays the same.
    pub fn save(&self) -> Result<()> {
        if self.is_saved {
            return Ok(());
        }
        let remembered = Remembered {
            id: self.id.clone(),
            marks: self.marks.clone(),
        };
        files::write(&self.file, &serde_json::to_vec_pretty(&remembered)?)
    }
}

/// No mark that is known both then and now has changed.
fn is_same(then: &BTreeMap<PathBuf, String>, now: &BTreeMap<PathBuf, String>) -> bool {
    now.iter()
        .all(|(path, mark)| then.get(path).is_none_or(|known| known == mark))
}

/// Left out are those that are missing, as in a container, and those that say nothing, as before the first boot of an image.
fn marks(paths: &[PathBuf]) -> BTreeMap<PathBuf, String> {
    paths
        .iter()
        .filter_map(|path| Some((path.clone(), mark(path)?)))
        .collect()
}

fn mark(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let text = text.trim().to_lowercase();
    if text.is_empty() || text == "uninitialized" {
        return None;
    }
    // Machine ids must not leave a machine as they are (see machine-id(5)).
    let hash = Sha256::new()
        .chain_update("kopi-docka machine ")
        .chain_update(&text)
        .finalize();
    Some(text::hex(hash.get(..16)?))
}

fn new_id() -> Result<MachineId> {
    let random: [u8; 16] = rand::random();
    Ok(MachineId::parse(&text::hex(&random))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(folder: &Path) -> Paths {
        Paths {
            state: folder.join("state"),
            marks_of_machine: vec![folder.join("machine-id"), folder.join("product_uuid")],
            ..Paths::standard()
        }
    }

    #[test]
    fn the_id_stays_until_a_mark_of_the_machine_changes() {
        let folder = tempfile::tempdir().unwrap();
        let paths = paths(folder.path());
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let now = || {
            let machine = Machine::of(&paths).unwrap();
            machine.save().unwrap();
            machine.id
        };
        // Neither mark is there: a minimal system, a container.
        assert_ne!(
            Machine::of(&paths).unwrap().id,
            Machine::of(&paths).unwrap().id,
            "nothing is remembered before it is saved"
        );
        let bare = now();
        assert_eq!(now(), bare);
        write("machine-id", "uninitialized\n");
        assert_eq!(now(), bare);
        // Marks that appear belong to it from then on.
        write("machine-id", "aa\n");
        assert_eq!(now(), bare);
        write("product_uuid", "BB\n");
        assert_eq!(now(), bare);
        // One that cannot be read for a while is not forgotten.
        std::fs::remove_file(folder.path().join("product_uuid")).unwrap();
        assert_eq!(now(), bare);
        write("product_uuid", "cc\n");
        let clone = now();
        assert_ne!(clone, bare, "a clone that kept its machine id");
        assert_eq!(now(), clone);
        write("machine-id", "dd\n");
        assert_ne!(now(), clone);
        let text = std::fs::read_to_string(paths.machine()).unwrap();
        assert!(!text.contains("\"dd\""), "{text}");
        write("state/machine.json", "{");
        assert_ne!(now(), clone);
    }
}
