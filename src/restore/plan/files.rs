//! Compose files and what they name: put back where they were, beside what is there now.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;

use super::names::{Power, Trust, refuse_no_place};
use super::new_home;
use super::places::Places;
use super::pool::Pool;
use super::target::{self, Forbidden, Target};
use crate::discovery::mount_table::MountTable;
use crate::discovery::place::clean;
use crate::error::{Result, hints_of};
use crate::model::BackupId;
use crate::model::point::{FileAttributes, FileRecord, FileRole};
use crate::points::recipe::Recipe;
use crate::swap::attributes::{give, set_time};
use crate::swap::journal::Swap;

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
    /// Of the file, or of the link; `None` in points of older versions: then the copy has them.
    #[serde(skip)]
    pub attributes: Option<FileAttributes>,
    /// Set when a link is put back: what it says.
    #[serde(skip)]
    pub link: Option<PathBuf>,
    #[serde(skip)]
    pub new_folders: Vec<PathBuf>,
    /// What the recipe has of those.
    #[serde(skip)]
    pub new_attributes: Vec<(PathBuf, FileAttributes)>,
    /// `None` when there is nothing to do.
    #[serde(skip)]
    pub swap: Option<Swap>,
    #[serde(skip)]
    pub pool: Option<Pool>,
    /// By whose leave it goes where it does, outside of its project.
    #[serde(skip)]
    pub powers: Vec<Power>,
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
    /// By whose leave files go outside of their project.
    pub powers: Vec<Power>,
    /// Not here, and not put back for lack of leave.
    pub kept_out: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

/// What files are planned with.
pub struct Planner<'a> {
    pub recipe: &'a Recipe,
    pub places: &'a Places,
    pub mounts: &'a MountTable,
    pub forbidden: &'a Forbidden,
    pub trust: &'a Trust,
}

impl Planner<'_> {
    /// What is to be done with each file of the recipe. `targets` are restored as a whole, with all files in them. Blocks.
    pub fn plan(&self, targets: &[PathBuf], id: BackupId) -> Files {
        let mut files = Files::default();
        for record in &self.recipe.record.files {
            let path = &record.path;
            match self.plan_one(record, id) {
                // Others may be using it: the home of this unit is elsewhere.
                Ok(plan) if plan.action == FileAction::Replace && self.places.is_move() => {
                    files.warnings.push(format!(
                        "`{}` is left as it is, though the saved one differs: it is outside of the new directory",
                        plan.path.display()
                    ));
                }
                Ok(plan) if targets.iter().any(|target| plan.path.starts_with(target)) => {}
                Ok(plan) if files.plans.iter().any(|other| other.path == plan.path) => {}
                Ok(plan) => {
                    files.powers.extend(plan.powers.iter().cloned());
                    files.plans.push(plan);
                }
                // The data does not wait for a file that the operator can fix by hand.
                Err(error) => {
                    let is_here = path.symlink_metadata().is_ok();
                    let what = if is_here {
                        "left as it is"
                    } else {
                        "not put back"
                    };
                    let mut warning = format!("`{}` is {what}: {error:#}", path.display());
                    // About the leave that it needs; the others are about data.
                    let hints = hints_of(&error);
                    if let Some(hint) = hints.iter().find(|hint| hint.contains("--allow-path")) {
                        warning = format!("{warning}; {hint}");
                        if !is_here {
                            files.kept_out.push(path.clone());
                        }
                    }
                    files.warnings.push(warning);
                }
            }
        }
        files
    }

    fn plan_one(&self, record: &FileRecord, id: BackupId) -> Result<FilePlan> {
        if let Some(link) = &record.link {
            return self.plan_link(record, link, id);
        }
        let path = record.path.as_path();
        let target = self.look(path)?;
        let leave = self.leave(path, &target);
        let saved = match self.recipe.file(path) {
            Ok(saved) => saved.to_owned(),
            // Where it wants to go tells more than that there is nothing to put there.
            Err(error) => return Err(leave.err().unwrap_or(error)),
        };
        if target.exists && !target.path.is_file() {
            anyhow::bail!("something that is not a file is there");
        }
        let action = if !target.exists {
            FileAction::PutBack
        } else if is_same(&saved, &target.path)? {
            FileAction::Leave
        } else {
            FileAction::Replace
        };
        let powers = match action {
            FileAction::Leave => Vec::new(),
            _ => leave?,
        };
        let swap =
            (action != FileAction::Leave).then(|| target.swap(format!("`{}`", path.display()), id));
        let bytes = std::fs::metadata(&saved)?.len();
        Ok(FilePlan {
            path: target.path,
            role: record.role,
            action,
            bytes,
            kept: swap
                .as_ref()
                .filter(|_| action == FileAction::Replace)
                .map(|swap| swap.kept.clone()),
            saved,
            attributes: record.attributes,
            link: None,
            new_attributes: self.attributes(&target.missing_folders),
            new_folders: target.missing_folders,
            pool: swap.is_some().then_some(target.pool),
            swap,
            powers,
        })
    }

    /// What the recipe has of directories that are made.
    fn attributes(&self, made: &[PathBuf]) -> Vec<(PathBuf, FileAttributes)> {
        let project = self.recipe.record.project.iter();
        let saved = project.flat_map(|project| &project.directories);
        saved
            .filter_map(|saved| {
                let place = if self.places.is_move() {
                    self.places.file(&saved.path).ok()?
                } else {
                    saved.path.clone()
                };
                made.contains(&place).then_some((place, saved.attributes))
            })
            .collect()
    }

    fn look(&self, path: &Path) -> Result<Target> {
        let is_moved = self.is_moved(path);
        let place = if is_moved {
            self.places.file(path)?
        } else {
            path.to_owned()
        };
        refuse_no_place(&place)?;
        let target = target::look(&place, self.mounts, self.forbidden, &[])?;
        refuse_no_place(&target.path)?;
        if is_moved {
            new_home::check_target(&target, self.places.folder())?;
        }
        Ok(target)
    }

    fn is_moved(&self, path: &Path) -> bool {
        self.places.is_move() && self.places.inside(path).is_some()
    }

    /// By whose leave something is put to `path`, which leads to `target`.
    fn leave(&self, path: &Path, target: &Target) -> Result<Vec<Power>> {
        if self.is_moved(path) {
            // The operator named the directory.
            return Ok(Vec::new());
        }
        let mut powers: Vec<Power> = self.trust.file(path)?.into_iter().collect();
        if target.path != path {
            powers.extend(self.trust.file(&target.path)?);
        }
        Ok(powers)
    }

    /// A link is put back where nothing is. Something else in its place stays what it is, and only its content is compared: what
    /// the link led to has a record of its own.
    fn plan_link(&self, record: &FileRecord, link: &Path, id: BackupId) -> Result<FilePlan> {
        let place = if self.is_moved(&record.path) {
            self.places.file(&record.path)?
        } else {
            record.path.clone()
        };
        let link = if link.is_absolute() && self.places.is_move() {
            self.places.file(link)?
        } else {
            link.to_owned()
        };
        let plan = |path: PathBuf, action| FilePlan {
            path,
            role: record.role,
            action,
            bytes: 0,
            kept: None,
            saved: PathBuf::new(),
            attributes: record.attributes,
            link: Some(link.clone()),
            new_folders: Vec::new(),
            new_attributes: Vec::new(),
            swap: None,
            pool: None,
            powers: Vec::new(),
        };
        refuse_no_place(&place)?;
        match std::fs::symlink_metadata(&place) {
            Ok(found) if found.is_symlink() && std::fs::read_link(&place)? == link => {
                return Ok(plan(place, FileAction::Leave));
            }
            Ok(_) => {
                let plain = FileRecord {
                    link: None,
                    attributes: None,
                    ..record.clone()
                };
                return self.plan_one(&plain, id);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let target = self.look(&record.path)?;
        // It must not be a way to where no file of a recipe may be.
        let parent = target.path.parent().unwrap_or(Path::new("/"));
        let mut powers = self.leave(&record.path, &target)?;
        let leads_to = clean(&parent.join(&link));
        let is_in_home = self
            .places
            .folder()
            .is_some_and(|home| leads_to.starts_with(home));
        if !(self.places.is_move() && is_in_home) {
            powers.extend(self.trust.file(&leads_to)?);
        }
        Ok(FilePlan {
            powers,
            swap: Some(target.swap(format!("`{}`", record.path.display()), id)),
            pool: Some(target.pool),
            new_attributes: self.attributes(&target.missing_folders),
            new_folders: target.missing_folders,
            ..plan(target.path, FileAction::PutBack)
        })
    }
}

fn is_same(saved: &Path, target: &Path) -> Result<bool> {
    let is_as_long = std::fs::metadata(saved)?.len() == std::fs::metadata(target)?.len();
    Ok(is_as_long && std::fs::read(saved)? == std::fs::read(target)?)
}

/// Copies the saved file into the staging directory of its swap, with its mode, owner and time. Blocks.
pub fn stage(file: &FilePlan) -> Result<()> {
    let Some(swap) = &file.swap else {
        return Ok(());
    };
    let content = swap.content();
    let copy = || -> Result<()> {
        if let Some(link) = &file.link {
            std::os::unix::fs::symlink(link, &content)?;
            if let Some(attributes) = &file.attributes {
                std::os::unix::fs::lchown(&content, Some(attributes.uid), Some(attributes.gid))?;
                set_time(&content, attributes)?;
            }
            return Ok(());
        }
        std::fs::copy(&file.saved, &content)?;
        let attributes = match file.attributes {
            Some(attributes) => attributes,
            None => FileAttributes::of(&std::fs::metadata(&file.saved)?),
        };
        give(&content, &attributes)?;
        Ok(())
    };
    copy().with_context(|| format!("`{}` cannot be put back", file.path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;
    use crate::swap::staging;

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
            attributes: None,
            link: None,
            new_folders: Vec::new(),
            new_attributes: Vec::new(),
            swap: Some(swap.clone()),
            pool: None,
            powers: Vec::new(),
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

    #[test]
    fn what_the_record_has_wins_over_the_copy_and_a_link_is_a_link() {
        let root = tempfile::tempdir().unwrap();
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let saved = root.path().join("saved");
        std::fs::write(&saved, "x").unwrap();
        let attributes = FileAttributes {
            mode: 0o4750,
            uid: 1000,
            gid: 1001,
            modified_seconds: 1_000_000_000,
            modified_nanoseconds: 5,
        };
        let stage_one = |name: &str, link: Option<PathBuf>| {
            let swap = Swap::new(name.to_owned(), root.path().join(name), id);
            staging::make(&swap).unwrap();
            stage(&FilePlan {
                path: root.path().join(name),
                role: FileRole::Compose,
                action: FileAction::PutBack,
                bytes: 1,
                kept: None,
                saved: saved.clone(),
                attributes: Some(attributes),
                link,
                new_folders: Vec::new(),
                new_attributes: Vec::new(),
                swap: Some(swap.clone()),
                pool: None,
                powers: Vec::new(),
            })
            .unwrap();
            std::fs::symlink_metadata(swap.content()).unwrap()
        };
        let file = stage_one("file", None);
        assert_eq!(FileAttributes::of(&file), attributes);
        let link = stage_one("link", Some("elsewhere".into()));
        assert!(link.is_symlink());
        assert_eq!(
            (link.uid(), link.gid(), link.mtime()),
            (1000, 1001, 1_000_000_000)
        );
    }
}
