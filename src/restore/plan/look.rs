//! What the disks say of the places that a restore goes to.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::decision::SourcePlan;
use super::files::{Files, Planner};
use super::locate::{Beneath, Located, NamedBy};
use super::names::{Power, Trust};
use super::nesting::{self, Arranged, Bystander, LeftOut};
use super::new_home;
use super::pieces::{self, Piece};
use super::places::Places;
use super::target::{self, Forbidden, Target};
use crate::base::blocking::{aside, looked_up};
use crate::discovery::mount_table::MountTable;
use crate::error::{Exit, Failure, Result};
use crate::model::point::{DirectoryRecord, FileAttributes};
use crate::model::{BackupId, SourceKey};
use crate::points::recipe::NewVolume;
use crate::points::recipe::Recipe;
use crate::restore::plan::ground::Ground;
use crate::restore::request::{Request, What};
use crate::swap::journal::JournalFile;
use crate::swap::marks::{self, Mark};

/// What the disks say.
pub struct Looked {
    pub recipe: Recipe,
    pub targets: Vec<(Located, Target)>,
    pub files: Files,
    pub id: BackupId,
    /// What is not restored by itself.
    pub left_out: Vec<LeftOut>,
    /// Missing volumes whose data comes with another source.
    pub volumes: Vec<NewVolume>,
    /// By whose leave what has power over this host is restored.
    pub powers: Vec<Power>,
    pub warnings: Vec<String>,
}

impl Ground<'_> {
    /// Asks the disks. Chooses an id whose names are all free.
    pub async fn look(
        &self,
        recipe: Recipe,
        located: Vec<Located>,
        bystanders: Vec<Bystander>,
        places: &Places,
        trust: Trust,
        request: &Request,
    ) -> Result<Looked> {
        let own: Vec<PathBuf> = self
            .rules
            .own_paths
            .iter()
            .chain(&self.rules.repository)
            .cloned()
            .collect();
        let judges = Judges {
            mounts: MountTable::read(),
            for_volumes: Forbidden(own.clone()),
            for_others: Forbidden(own.into_iter().chain([self.docker_root.clone()]).collect()),
            trust,
            places: places.clone(),
            journals: self.cx.paths.restore_journals(),
        };
        let paths = match &request.what {
            What::Files { paths, .. } => paths.clone(),
            _ => Vec::new(),
        };
        looked_up(aside(move || {
            judges.look(recipe, located, bystanders, &paths)
        }))
        .await
    }
}

/// What places are judged by.
struct Judges {
    mounts: MountTable,
    for_volumes: Forbidden,
    for_others: Forbidden,
    trust: Trust,
    places: Places,
    journals: PathBuf,
}

impl Judges {
    fn look(
        &self,
        recipe: Recipe,
        located: Vec<Located>,
        mut bystanders: Vec<Bystander>,
        paths: &[PathBuf],
    ) -> Result<Looked> {
        if let Some(folder) = self.places.folder() {
            new_home::check(folder, self.places.is_move())?;
        }
        for bystander in &mut bystanders {
            let real = bystander.path.take();
            bystander.path = real.and_then(|path| path.canonicalize().ok());
        }
        let wanted: Vec<(SourceKey, PathBuf)> = located
            .iter()
            .filter_map(|one| Some((one.source.key.clone(), one.path.canonicalize().ok()?)))
            .collect();
        let mut targets = Vec::new();
        for located in located {
            let stays = stays(&located, &wanted, &bystanders);
            for located in located.split(paths)? {
                let target = self.target(&located, &stays)?;
                if located.piece.take.is_some() {
                    check_piece(&located, &target)?;
                }
                targets.push((located, target));
            }
        }
        let Arranged {
            targets,
            left_out,
            volumes,
            warnings,
        } = nesting::arrange(targets, &bystanders)?;
        let (id, files) = self.free_id(&recipe, &targets);
        let powers = targets.iter().flat_map(|(_, target)| &target.powers);
        let mut powers: Vec<Power> = powers.chain(&files.powers).cloned().collect();
        powers.sort_by(|a, b| a.path.cmp(&b.path));
        powers.dedup();
        Ok(Looked {
            powers,
            recipe,
            targets,
            files,
            id,
            left_out,
            volumes,
            warnings,
        })
    }

    fn target(&self, located: &Located, stays: &[PathBuf]) -> Result<Target> {
        let forbidden = if located.is_in_docker {
            &self.for_volumes
        } else {
            &self.for_others
        };
        let path = &located.path;
        let mut target = match located.named_by {
            NamedBy::Docker => target::look(path, &self.mounts, forbidden, stays)?,
            NamedBy::Operator => {
                let target = target::look(path, &self.mounts, forbidden, stays)?;
                new_home::check_target(&target, self.places.folder())?;
                target
            }
            NamedBy::Recipe => {
                let is_included = located.source.is_included;
                let judge = |path: &Path| self.trust.data(path, is_included);
                target::look_at_name(path, &self.mounts, forbidden, stays, judge)?
            }
        };
        // The directory of a volume that is about to be made is not missing: Docker makes it.
        if located.is_in_docker && located.piece.take.is_none() {
            if located.new_volume.is_none() && !target.exists {
                return Err(not_visible(located).into());
            }
            target.missing_folders.clear();
        }
        Ok(target)
    }

    /// The first ID from now on whose names are free, and the files under it.
    fn free_id(&self, recipe: &Recipe, targets: &[(Located, Target)]) -> (BackupId, Files) {
        let paths: Vec<PathBuf> = targets
            .iter()
            .map(|(_, target)| target.path.clone())
            .collect();
        let planner = Planner {
            recipe,
            places: &self.places,
            mounts: &self.mounts,
            forbidden: &self.for_others,
            trust: &self.trust,
        };
        let mut id = JournalFile::next_id(&self.journals);
        loop {
            let files = if recipe.has_files() {
                planner.plan(&paths, id)
            } else {
                Files::default()
            };
            let swaps = files.plans.iter().filter_map(|file| file.swap.clone());
            let mut all = targets
                .iter()
                .map(|(_, target)| target.swap(String::new(), id))
                .chain(swaps);
            let is_taken = all.any(|swap| swap.kept.exists() || swap.staging.exists());
            if !is_taken {
                return (id, files);
            }
            id = id.next();
        }
    }
}

impl Located {
    /// One for each of `paths` that has a place of its own; itself when there are none. Blocks.
    fn split(self, paths: &[PathBuf]) -> Result<Vec<Self>> {
        if paths.is_empty() {
            return Ok(vec![self]);
        }
        if self.source.is_file {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{} is a single file: `--path` takes files of a directory",
                    self.source.key
                ),
            )
            .into());
        }
        if self.named_by == NamedBy::Operator {
            let piece = Piece::tree(paths);
            return Ok(vec![Self { piece, ..self }]);
        }
        let root = self
            .path
            .canonicalize()
            .map_err(|error| no_folder(&self, error))?;
        let pieces = pieces::in_place(&root, paths)?;
        // Where no container writes, when there is such a place on its file system.
        let beneath = Beneath {
            is_fixed: has_nothing_beside(&root),
            root: root.clone(),
        };
        let split = pieces.into_iter().map(|piece| Self {
            source: self.source.clone(),
            path: root.join(piece.take.as_deref().unwrap_or(Path::new(""))),
            beneath: Some(beneath.clone()),
            piece,
            named_by: self.named_by,
            is_in_docker: self.is_in_docker,
            new_volume: self.new_volume.clone(),
            is_renamed: self.is_renamed,
            inside: None,
        });
        Ok(split.collect())
    }

    pub fn plan(self, target: Target, id: BackupId) -> SourcePlan {
        let what = match &self.piece.take {
            Some(path) => format!("`{}` of {}", path.display(), self.source.key),
            None => self.source.key.to_string(),
        };
        let is_apart = self.named_by == NamedBy::Operator || self.is_renamed;
        let mut swap = target.swap(what, id);
        swap.key = (!is_apart).then(|| self.source.key.clone());
        if let Some(beneath) = &self.beneath {
            swap.staging = beneath.staging(&self.piece, id);
            swap.beneath = Some(beneath.root.clone());
        }
        SourcePlan {
            bytes: self.source.parts.iter().map(|part| part.bytes).sum(),
            is_apart,
            piece: self.piece,
            key: self.source.key,
            is_file: self.source.is_file,
            kept: target.exists.then(|| swap.kept.clone()),
            target: target.path.clone(),
            new_volume: self.new_volume,
            new_attributes: attributes_of(&self.source.directories, &target),
            new_folders: target.missing_folders,
            parts: self.source.parts,
            inside: self.inside,
            swap,
        }
    }
}

impl Beneath {
    /// Beside the directory, where no container writes; in it when it is all that there is of its file system.
    fn staging(&self, piece: &Piece, id: BackupId) -> PathBuf {
        // Each piece has one of its own.
        let mut hasher = DefaultHasher::new();
        piece.take.hash(&mut hasher);
        let number = hasher.finish();
        if self.is_fixed {
            return marks::beside(&self.root.join(format!("{number:x}")), Mark::New, id);
        }
        let name = self.root.file_name().unwrap_or_default().display();
        let place = self.root.with_file_name(format!("{name}.{number:x}"));
        marks::beside(&place, Mark::New, id)
    }
}

/// Whether what is beside `root` is on another file system, or cannot be written to.
fn has_nothing_beside(root: &Path) -> bool {
    let parent = root.parent().unwrap_or(root);
    let device = |path: &Path| std::fs::symlink_metadata(path).map(|found| found.dev());
    let is_one = matches!((device(root), device(parent)), (Ok(own), Ok(other)) if own == other);
    !is_one
        || MountTable::read().at(root).is_some()
        || rustix::fs::access(parent, rustix::fs::Access::WRITE_OK).is_err()
}

/// A piece is put to where it was looked for, by a rename.
fn check_piece(located: &Located, target: &Target) -> Result<()> {
    if target.path != located.path {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!(
                "`{}` leads to `{}` by now: does a container write there?",
                located.path.display(),
                target.path.display()
            ),
        )
        .hint("stop it, or take the file to another place with `--target DIR`")
        .note("nothing was changed")
        .into());
    }
    if target.fixed.is_some() {
        return Err(Failure::new(
            Exit::UnitsFailed,
            format!(
                "`{}` is a file system of its own in {}, or lies in a read-only one: it cannot be put back by itself",
                target.path.display(),
                located.source.key
            ),
        )
        .hint("take it to another place with `--target DIR`")
        .note("nothing was changed")
        .into());
    }
    Ok(())
}

/// What the record has of the directories that are made, from the source upwards as far as they are called alike: below a directory that was
/// asked for too.
fn attributes_of(saved: &[DirectoryRecord], target: &Target) -> Vec<(PathBuf, FileAttributes)> {
    let mut above = saved.iter().rev();
    let mut made = target.missing_folders.iter().rev();
    let mut found = Vec::new();
    while let (Some(folder), Some(record)) = (made.next(), above.next()) {
        if folder.file_name() != record.path.file_name() {
            break;
        }
        found.push((folder.clone(), record.attributes));
    }
    found
}

/// Where other sources of the point are here: what is mounted there stays, and is no obstacle for `located`.
fn stays(
    located: &Located,
    wanted: &[(SourceKey, PathBuf)],
    bystanders: &[Bystander],
) -> Vec<PathBuf> {
    let covered = located.source.covers.as_deref().unwrap_or_default();
    let wanted = wanted
        .iter()
        .filter(|(key, _)| *key != located.source.key)
        .map(|(_, path)| path.clone());
    let others = bystanders
        .iter()
        .filter(|other| !covered.contains(&other.source.key))
        .filter_map(|other| other.path.clone());
    wanted.chain(others).collect()
}

fn not_visible(located: &Located) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "`{}`, the directory of {}, cannot be seen from here",
            located.path.display(),
            located.source.key
        ),
    )
    .hint("kopi-docka has to run as root on the host that Docker runs on")
    .note("nothing was changed")
}

fn no_folder(located: &Located, error: std::io::Error) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("there is no {} here to put files back in", located.source.key),
    )
    .hint("restore it as a whole, without `--path`, or take the files to another place with `--target DIR`")
    .note("nothing was changed")
    .caused_by(error)
}
