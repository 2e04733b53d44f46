//! What the disks say of the places that a restore goes to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;

use super::aside::aside;
use super::files::{Files, Planner};
use super::journal::JournalFile;
use super::locate::{Located, NamedBy};
use super::new_home;
use super::pieces::{self, Piece};
use super::places::Places;
use super::plan::SourcePlan;
use super::recipe::Recipe;
use super::request::{Request, What};
use super::session::Session;
use super::target::{self, Forbidden, Target};
use crate::discovery::mount_table::MountTable;
use crate::error::{Exit, Failure, Result};
use crate::model::BackupId;

/// How long the disks may take to say what is there.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// What the disks say.
pub(super) struct Looked {
    pub(super) recipe: Recipe,
    pub(super) targets: Vec<(Located, Target)>,
    pub(super) files: Files,
    pub(super) id: BackupId,
}

impl Session<'_> {
    /// Asks the disks. Chooses an id whose names are all free.
    pub(super) async fn look(
        &self,
        recipe: Recipe,
        located: Vec<Located>,
        places: &Places,
        mounted: Vec<PathBuf>,
        request: &Request,
    ) -> Result<Looked> {
        let own: Vec<PathBuf> = self
            .rules
            .own_paths
            .iter()
            .chain(&self.rules.repository)
            .cloned()
            .collect();
        let ground = Ground {
            mounts: MountTable::read(),
            for_volumes: Forbidden(own.clone()),
            for_others: Forbidden(own.into_iter().chain([self.docker_root.clone()]).collect()),
            mounted,
            places: places.clone(),
            journals: self.cx.paths.restore_journals(),
        };
        let paths = match &request.what {
            What::Files { paths, .. } => paths.clone(),
            _ => Vec::new(),
        };
        looked_up(aside(move || ground.look(recipe, located, &paths))).await
    }
}

/// What places are judged by.
struct Ground {
    mounts: MountTable,
    for_volumes: Forbidden,
    for_others: Forbidden,
    /// Paths that containers here have mounted.
    mounted: Vec<PathBuf>,
    places: Places,
    journals: PathBuf,
}

impl Ground {
    fn look(&self, recipe: Recipe, located: Vec<Located>, paths: &[PathBuf]) -> Result<Looked> {
        if let Some(folder) = self.places.folder() {
            new_home::check(folder, self.places.is_move())?;
        }
        let mut targets = Vec::new();
        for located in located {
            for located in located.split(paths)? {
                let target = self.target(&located)?;
                targets.push((located, target));
            }
        }
        let (id, files) = self.free_id(&recipe, &targets);
        Ok(Looked {
            recipe,
            targets,
            files,
            id,
        })
    }

    fn target(&self, located: &Located) -> Result<Target> {
        let forbidden = if located.is_in_docker {
            &self.for_volumes
        } else {
            &self.for_others
        };
        let path = &located.path;
        let mut target = match located.named_by {
            NamedBy::Docker => target::look(path, &self.mounts, forbidden)?,
            NamedBy::Operator => {
                let target = target::look(path, &self.mounts, forbidden)?;
                new_home::check_target(&target, self.places.folder())?;
                target
            }
            NamedBy::Recipe => target::look_at_name(path, &self.mounts, forbidden, &self.mounted)?,
        };
        // The folder of a volume that is about to be made isn't missing: Docker makes it.
        if located.is_in_docker && located.piece.take.is_none() {
            if located.new_volume.is_none() && !target.exists {
                return Err(not_visible(located).into());
            }
            target.missing_folders.clear();
        }
        Ok(target)
    }

    /// The first id from now on whose names are nobody's, and the files under it.
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
            mounted: &self.mounted,
        };
        let mut second = 0;
        loop {
            let id = BackupId::at(Utc::now() + chrono::Duration::seconds(second));
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
            let is_taken = JournalFile::is_taken(&self.journals, id)
                || all.any(|swap| swap.kept.exists() || swap.staging.exists());
            if !is_taken {
                return (id, files);
            }
            second += 1;
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
                    "{} is a single file: `--path` takes files of a folder",
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
        let split = pieces.into_iter().map(|piece| Self {
            source: self.source.clone(),
            path: root.join(piece.take.as_deref().unwrap_or(Path::new(""))),
            piece,
            named_by: self.named_by,
            is_in_docker: self.is_in_docker,
            new_volume: self.new_volume.clone(),
            is_renamed: self.is_renamed,
        });
        Ok(split.collect())
    }

    pub(super) fn plan(self, target: Target, id: BackupId) -> SourcePlan {
        let what = match &self.piece.take {
            Some(path) => format!("`{}` of {}", path.display(), self.source.key),
            None => self.source.key.to_string(),
        };
        let is_apart = self.named_by == NamedBy::Operator || self.is_renamed;
        let mut swap = target.swap(what, id);
        swap.key = (!is_apart).then(|| self.source.key.clone());
        SourcePlan {
            bytes: self.source.parts.iter().map(|part| part.bytes).sum(),
            is_apart,
            piece: self.piece,
            key: self.source.key,
            is_file: self.source.is_file,
            kept: target.exists.then(|| swap.kept.clone()),
            target: target.path,
            new_volume: self.new_volume,
            new_folders: target.missing_folders,
            parts: self.source.parts,
            swap,
        }
    }
}

fn not_visible(located: &Located) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!(
            "`{}`, the folder of {}, can't be seen from here",
            located.path.display(),
            located.source.key
        ),
    )
    .hint("kopi-docka has to run as root on the host that Docker runs on")
    .note("nothing was touched")
}

fn no_folder(located: &Located, error: std::io::Error) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("there is no {} here to put files back in", located.source.key),
    )
    .hint("restore it as a whole, without `--path`, or take the files to another place with `--target DIR`")
    .note("nothing was touched")
    .caused_by(error)
}

/// Gives up on a disk that does not answer.
pub(super) async fn looked_up<T>(looking: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LOOK_PATIENCE, looking)
        .await
        .with_context(|| {
            format!(
                "a disk did not answer within {} s: is there a mount whose server is gone?",
                LOOK_PATIENCE.as_secs()
            )
        })?
}
