//! Compose files and what they name: put back where they were, beside what is there now.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::journal::Swap;
use super::new_home;
use super::places::Places;
use super::recipe::Recipe;
use super::target::{self, Forbidden};
use crate::discovery::mount_table::MountTable;
use crate::error::Result;
use crate::model::BackupId;
use crate::model::point::FileRole;

#[derive(Clone, Debug, Serialize)]
pub struct FilePlan {
    pub path: PathBuf,
    pub role: FileRole,
    pub action: FileAction,
    pub bytes: u64,
    /// Where what is there now will be kept.
    pub kept: Option<PathBuf>,
    /// The copy in the recipe.
    #[serde(skip)]
    pub saved: PathBuf,
    #[serde(skip)]
    pub new_folders: Vec<PathBuf>,
    /// `None` when there is nothing to do.
    #[serde(skip)]
    pub swap: Option<Swap>,
    #[serde(skip)]
    pub room: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAction {
    /// It is as it was saved.
    Leave,
    /// It is missing.
    PutBack,
    Replace,
}

#[derive(Debug, Default)]
pub struct Files {
    pub plans: Vec<FilePlan>,
    pub warnings: Vec<String>,
}

/// What files are planned with.
pub struct Planner<'a> {
    pub recipe: &'a Recipe,
    pub places: &'a Places,
    pub mounts: &'a MountTable,
    pub forbidden: &'a Forbidden,
    /// Paths that containers here have mounted.
    pub mounted: &'a [PathBuf],
}

impl Planner<'_> {
    /// What is to be done with each file of the recipe. `targets` are restored as a whole, with all files in them. Blocks.
    pub fn plan(&self, targets: &[PathBuf], id: BackupId) -> Files {
        let mut files = Files::default();
        for record in &self.recipe.record.files {
            let path = &record.path;
            match self.plan_one(path, record.role, id) {
                // Others may be using it: the home of this unit is elsewhere.
                Ok(plan) if plan.action == FileAction::Replace && self.places.is_move() => {
                    files.warnings.push(format!(
                        "`{}` is left as it is, though the saved one differs: it is outside of the new folder",
                        plan.path.display()
                    ));
                }
                Ok(plan) if targets.iter().any(|target| plan.path.starts_with(target)) => {}
                Ok(plan) if files.plans.iter().any(|other| other.path == plan.path) => {}
                Ok(plan) => files.plans.push(plan),
                // The data does not wait for a file that the operator can mend by hand.
                Err(error) => files
                    .warnings
                    .push(format!("`{}` is left as it is: {error:#}", path.display())),
            }
        }
        files
    }

    fn plan_one(&self, path: &Path, role: FileRole, id: BackupId) -> Result<FilePlan> {
        let target = if self.places.is_move() && self.places.inside(path).is_some() {
            let place = self.places.file(path)?;
            let target = target::look(&place, self.mounts, self.forbidden)?;
            new_home::check_target(&target, self.places.folder())?;
            target
        } else {
            target::look_at_name(path, self.mounts, self.forbidden, self.mounted)?
        };
        let saved = self.recipe.file(path)?.to_owned();
        if target.exists && !target.path.is_file() {
            anyhow::bail!("something that is no file is there");
        }
        let action = if !target.exists {
            FileAction::PutBack
        } else if std::fs::read(&saved)? == std::fs::read(&target.path)? {
            FileAction::Leave
        } else {
            FileAction::Replace
        };
        let swap =
            (action != FileAction::Leave).then(|| target.swap(format!("`{}`", path.display()), id));
        let bytes = std::fs::metadata(&saved)?.len();
        Ok(FilePlan {
            path: target.path,
            role,
            action,
            bytes,
            kept: swap
                .as_ref()
                .filter(|_| action == FileAction::Replace)
                .map(|swap| swap.kept.clone()),
            saved,
            new_folders: target.missing_folders,
            room: swap.is_some().then_some((target.device, target.free_bytes)),
            swap,
        })
    }
}

/// Copies the saved file into the staging folder of its swap, with its mode, owner and time. Blocks.
pub fn stage(file: &FilePlan) -> Result<()> {
    let Some(swap) = &file.swap else {
        return Ok(());
    };
    let content = swap.content();
    let copy = || -> Result<()> {
        std::fs::copy(&file.saved, &content)?;
        let saved = std::fs::metadata(&file.saved)?;
        std::os::unix::fs::chown(&content, Some(saved.uid()), Some(saved.gid()))?;
        // After the owner: changing that takes setuid bits away.
        std::fs::set_permissions(&content, saved.permissions())?;
        std::fs::File::options()
            .write(true)
            .open(&content)?
            .set_modified(saved.modified()?)?;
        Ok(())
    };
    copy().with_context(|| format!("`{}` can't be put back", file.path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::restore::staging;

    #[test]
    fn a_saved_file_is_staged_with_its_own_mode_owner_and_time() {
        let root = tempfile::tempdir().unwrap();
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let target = root.path().join("compose.yaml");
        let saved = root.path().join("saved");
        std::fs::write(&target, "now").unwrap();
        std::fs::write(&saved, "before").unwrap();
        std::os::unix::fs::chown(&saved, Some(1234), Some(4321)).unwrap();
        std::fs::set_permissions(&saved, std::fs::Permissions::from_mode(0o640)).unwrap();
        let swap = Swap::new("f".to_owned(), target.clone(), id);
        staging::make(&swap).unwrap();
        let plan = FilePlan {
            path: target.clone(),
            role: FileRole::Compose,
            action: FileAction::Replace,
            bytes: 6,
            kept: None,
            saved: saved.clone(),
            new_folders: Vec::new(),
            swap: Some(swap.clone()),
            room: None,
        };
        stage(&plan).unwrap();
        let (staged, saved) = (
            std::fs::metadata(swap.content()).unwrap(),
            std::fs::metadata(saved).unwrap(),
        );
        assert_eq!(std::fs::read_to_string(swap.content()).unwrap(), "before");
        assert_eq!(
            (staged.uid(), staged.gid(), staged.mode()),
            (1234, 4321, 0o100_640)
        );
        assert_eq!(staged.modified().unwrap(), saved.modified().unwrap());
        assert_eq!(std::fs::read_to_string(target).unwrap(), "now", "not yet");
    }
}
