//! Where each source belongs on this host: by its name, by what Docker knows, and by what the disks say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;

use super::aside::aside;
use super::files::{self, Files};
use super::journal::{JournalFile, Swap};
use super::plan::{NewVolume, SourcePlan};
use super::recipe::{Recipe, SavedVolume};
use super::session::Session;
use super::target::{self, Forbidden, Target};
use crate::discovery::mount_table::MountTable;
use crate::discovery::place::{self, Place};
use crate::docker::Volume;
use crate::error::{Exit, Failure, Result};
use crate::model::point::SourceRecord;
use crate::model::{BackupId, SourceKey};

/// How long the disks may take to say what is there.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

impl Session<'_> {
    /// Where each source belongs on this host, by its name and by what Docker knows.
    pub(super) async fn locate(
        &self,
        sources: &[SourceRecord],
        recipe: &Recipe,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Located>> {
        let mut located = Vec::new();
        for source in sources {
            let (path, new_volume) = match &source.key {
                SourceKey::Bind { path } => (path.clone(), None),
                SourceKey::Volume { name } => {
                    check_volume_name(name)?;
                    match self.engine.volume(name).await? {
                        Some(volume) => (path_of(name, &volume)?, None),
                        None => {
                            let saved = recipe.volume(&self.repository.kopia, name).await?;
                            self.missing_volume(name, saved, warnings)?
                        }
                    }
                }
            };
            let is_volume = matches!(source.key, SourceKey::Volume { .. });
            let is_in_docker = is_volume && path.starts_with(&self.docker_root);
            located.push(Located {
                source: source.clone(),
                is_named_by_docker: is_in_docker || (is_volume && new_volume.is_none()),
                is_in_docker,
                path,
                new_volume,
            });
        }
        Ok(located)
    }

    fn missing_volume(
        &self,
        name: &str,
        saved: Option<SavedVolume>,
        warnings: &mut Vec<String>,
    ) -> Result<(PathBuf, Option<NewVolume>)> {
        if saved.is_none() {
            warnings.push(format!(
                "the recipe does not describe volume `{name}`: it is made without options and labels"
            ));
        }
        let saved = saved.unwrap_or_else(|| SavedVolume {
            driver: "local".to_owned(),
            options: None,
            labels: None,
        });
        // Where Docker puts it; checked when it is made.
        let volume = Volume {
            name: name.to_owned(),
            driver: saved.driver.clone(),
            mountpoint: self
                .docker_root
                .join("volumes")
                .join(name)
                .join("_data")
                .display()
                .to_string(),
            options: saved
                .options
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            ..Volume::default()
        };
        let path = path_of(name, &volume)?;
        if place::is_anonymous(name, &BTreeMap::new()) {
            warnings.push(format!(
                "volume `{name}` has no name of its own: it is made again, but new containers will not look for it"
            ));
        }
        let new = NewVolume {
            name: name.to_owned(),
            saved,
        };
        Ok((path, Some(new)))
    }

    /// Asks the disks. Chooses an id whose names are all free.
    pub(super) async fn look(
        &self,
        recipe: Recipe,
        located: Vec<Located>,
        mounted: Vec<PathBuf>,
        with_files: bool,
    ) -> Result<Looked> {
        let docker_root = self.docker_root.clone();
        let own: Vec<PathBuf> = self
            .rules
            .own_paths
            .iter()
            .chain(&self.rules.repository)
            .cloned()
            .collect();
        let journals = self.cx.paths.restore_journals();
        looked_up(aside(move || {
            let mounts = MountTable::read();
            let for_volumes = Forbidden(own.clone());
            let for_others = Forbidden(own.into_iter().chain([docker_root.clone()]).collect());
            let mut targets = Vec::new();
            for located in located {
                let forbidden = if located.is_in_docker {
                    &for_volumes
                } else {
                    &for_others
                };
                let mut target = if located.is_named_by_docker {
                    target::look(&located.path, &mounts, forbidden)?
                } else {
                    target::look_at_name(&located.path, &mounts, forbidden, &mounted)?
                };
                // The folder of a volume that is about to be made isn't missing: Docker makes it.
                if located.is_in_docker {
                    if located.new_volume.is_none() && !target.exists {
                        return Err(not_visible(&located).into());
                    }
                    target.missing_folders.clear();
                }
                targets.push((located, target));
            }
            let paths: Vec<PathBuf> = targets
                .iter()
                .map(|(_, target)| target.path.clone())
                .collect();
            let plan_files = |id| {
                if with_files {
                    files::plan(&recipe, &paths, &mounts, &for_others, &mounted, id)
                } else {
                    Files::default()
                }
            };
            let mut second = 0;
            let (id, files) = loop {
                let id = BackupId::at(Utc::now() + chrono::Duration::seconds(second));
                let files = plan_files(id);
                let swaps = files.plans.iter().filter_map(|file| file.swap.clone());
                let mut all = paths
                    .iter()
                    .map(|path| Swap::new(String::new(), path.clone(), id))
                    .chain(swaps);
                let is_taken = JournalFile::path(&journals, id).exists()
                    || all.any(|swap| swap.kept.exists() || swap.staging.exists());
                if !is_taken {
                    break (id, files);
                }
                second += 1;
            };
            Ok(Looked {
                recipe,
                targets,
                files,
                id,
            })
        }))
        .await
    }
}

/// A source and the path that it belongs to, by name alone.
pub(super) struct Located {
    pub(super) source: SourceRecord,
    pub(super) path: PathBuf,
    /// The path is Docker's word, and not only the recipe's.
    pub(super) is_named_by_docker: bool,
    /// It is below Docker's own folder, where volumes are.
    pub(super) is_in_docker: bool,
    pub(super) new_volume: Option<NewVolume>,
}

/// What the disks say.
pub(super) struct Looked {
    pub(super) recipe: Recipe,
    pub(super) targets: Vec<(Located, Target)>,
    pub(super) files: Files,
    pub(super) id: BackupId,
}

impl Located {
    pub(super) fn plan(self, target: Target, id: BackupId) -> SourcePlan {
        let swap = Swap::new(self.source.key.to_string(), target.path.clone(), id);
        SourcePlan {
            bytes: self.source.parts.iter().map(|part| part.bytes).sum(),
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

/// Where the data of `volume` is on this host's disks.
fn path_of(name: &str, volume: &Volume) -> Result<PathBuf> {
    match place::of_volume(volume) {
        Place::Path(path) => Ok(path),
        Place::Elsewhere(why) | Place::Memory(why) => Err(Failure::new(
            Exit::UnitsFailed,
            format!("volume `{name}` can't be restored in its place: {why}"),
        )
        .hint("restore the others by naming them: `--volume`, several times")
        .note("nothing was touched")
        .into()),
        Place::Nothing => anyhow::bail!("volume `{name}` is nowhere"),
    }
}

/// Docker's own rule; the name becomes part of a path and of a request.
fn check_volume_name(name: &str) -> Result<()> {
    let is_first = |c: char| c.is_ascii_alphanumeric();
    let is_later = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut characters = name.chars();
    if characters.next().is_some_and(is_first) && characters.all(is_later) && name.len() <= 255 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::UnitsFailed,
        format!(
            "the recipe names a volume `{}`, which Docker can't have",
            crate::ui::text::printable(name)
        ),
    )
    .into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_docker_can_have_become_paths() {
        for fine in ["a", "web_db", "0.x-y", &"f".repeat(64)] {
            check_volume_name(fine).unwrap();
        }
        for hostile in ["", ".", "..", "../x", "a/b", "_x", "a b", "a\n", "a?b", "ä"] {
            assert!(check_volume_name(hostile).is_err(), "{hostile:?}");
        }
    }
}
