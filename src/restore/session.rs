//! What both doors, the flags and the wizard, go through: opened once, then it lists, plans and applies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;

use super::aside::aside;
use super::choose::{choose, newer_but_not_whole};
use super::files::{self, Files};
use super::journal::{JournalFile, Swap};
use super::plan::{NewVolume, Plan, SourcePlan, check_space, covered, space};
use super::points::{Point, complete_roots, points};
use super::recipe::{self, Recipe, SavedVolume};
use super::request::Request;
use super::target::{self, Forbidden, Target};
use super::users::{self, Swapped, Users};
use crate::backup::{self, Tar};
use crate::config::Config;
use crate::context::Context;
use crate::discovery::mount_table::MountTable;
use crate::discovery::place::{self, Place};
use crate::discovery::{self, Discovery, Rules};
use crate::docker::{Engine, Volume};
use crate::error::{Exit, Failure, Result};
use crate::kopia::Manifest;
use crate::lock::Lock;
use crate::model::point::{PointRecord, SourceRecord};
use crate::model::{BackupId, SourceKey};
use crate::repository::Repository;

/// How long the disks may take to say what is there.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);

/// Holds the lock, an open repository and a connected engine.
pub struct Session<'a> {
    pub cx: &'a Context,
    pub config: Config,
    pub engine: Engine,
    pub repository: Repository,
    pub tar: Tar,
    rules: Rules,
    manifests: Vec<Manifest>,
    docker_root: PathBuf,
    _lock: Lock,
}

/// What to do, and what it is done with.
pub struct Planned {
    pub plan: Plan,
    /// Holds the saved files until they are copied.
    pub recipe: Recipe,
}

impl<'a> Session<'a> {
    /// `is_dry` leaves what an earlier run left down to the next real one.
    pub async fn open(cx: &'a Context, is_dry: bool) -> Result<Self> {
        let config = cx.config()?.config;
        let lock = Lock::take(&cx.paths.runtime, "restore")?;
        backup::remove_stale_work(&cx.paths)?;
        if !is_dry {
            backup::bring_up_what_is_down(cx).await?;
        }
        let tar = Tar::find().await?;
        let repository = Repository::of(cx, &config)?;
        let engine = Engine::connect(&config.docker.socket).await?;
        let (_status, docker_root) = tokio::try_join!(repository.open(), engine.root_folder())?;
        let manifests = repository.kopia.list().await?;
        Ok(Self {
            rules: Rules::of(&config, &cx.paths),
            cx,
            config,
            engine,
            repository,
            tar,
            manifests,
            docker_root,
            _lock: lock,
        })
    }

    /// Of all hosts, the newest first.
    pub fn points(&self) -> Vec<Point> {
        points(&self.manifests)
    }

    pub async fn plan(&self, request: &Request) -> Result<Planned> {
        let points = self.points();
        let identity = self.repository.kopia.identity();
        let point = choose(&points, request, &identity)?;
        let kopia = &self.repository.kopia;
        let patience = self.config.backup.stall_timeout;
        let (recipe, host) = tokio::try_join!(
            recipe::fetch(kopia, point, &self.cx.paths.runtime, patience),
            discovery::discover(&self.engine, &self.rules)
        )?;
        let complete = complete_roots(&self.manifests);
        let sources = recipe::select(&recipe.record, request, &complete)?;
        let mut warnings = doubts(&points, point, &recipe.record, &sources);

        let mounted: Vec<PathBuf> = host
            .containers
            .iter()
            .flat_map(|container| &container.mounts)
            .map(|mount| place::clean(&mount.source))
            .collect();
        let located = self.locate(&sources, &recipe, &mut warnings).await?;
        let Looked {
            recipe,
            targets,
            files,
            id,
        } = self
            .look(recipe, located, mounted, request.is_whole_unit())
            .await?;
        warnings.extend(files.warnings);

        let keys: Vec<(SourceKey, PathBuf)> = targets
            .iter()
            .map(|(located, target)| (located.source.key.clone(), target.path.clone()))
            .collect();
        let covered = covered(&keys);
        for (inner, outer) in &covered {
            warnings.push(format!("{inner} lies in {outer} and is restored with it"));
        }
        let targets: Vec<(Located, Target)> = targets
            .into_iter()
            .filter(|(located, _)| {
                !covered
                    .iter()
                    .any(|(inner, _)| *inner == located.source.key)
            })
            .collect();

        let needs = targets.iter().map(|(located, target)| {
            let bytes = located.source.parts.iter().map(|part| part.bytes).sum();
            (
                target.device,
                target.free_bytes,
                bytes,
                parent(&target.path),
            )
        });
        let file_needs = files.plans.iter().filter_map(|file| {
            let (device, free) = file.room?;
            Some((device, free, file.bytes, parent(&file.path)))
        });
        let space = space(needs.chain(file_needs));
        check_space(&space)?;

        let sources: Vec<SourcePlan> = targets
            .into_iter()
            .map(|(located, target)| located.plan(target, id))
            .collect();
        let users = self.users(&host, &recipe.record, &sources).await?;
        warnings.extend(users.warnings);
        let next_steps = next_steps(&host, &recipe.record);
        let plan = Plan {
            restore_id: id,
            unit: recipe.record.unit.clone(),
            backup_id: recipe.record.backup_id,
            identity: point.identity.clone(),
            grade: recipe.record.grade,
            is_whole_unit: request.is_whole_unit(),
            sources,
            files: files.plans,
            stops: users.entries,
            tolerated: users.tolerated,
            space,
            warnings,
            next_steps,
        };
        Ok(Planned { plan, recipe })
    }

    /// Who is to be stopped, by what runs now: the plan may be hours old.
    pub async fn users_now(&self, plan: &Plan, record: &PointRecord) -> Result<Users> {
        let host = discovery::discover(&self.engine, &self.rules).await?;
        self.users(&host, record, &plan.sources).await
    }

    async fn users(
        &self,
        host: &Discovery,
        record: &PointRecord,
        sources: &[SourcePlan],
    ) -> Result<Users> {
        if sources.is_empty() {
            // Files alone are replaced while everything runs.
            return Ok(Users::default());
        }
        let unit = host.units.iter().find(|unit| unit.name == record.unit);
        let swapped: Vec<Swapped> = sources
            .iter()
            .map(|source| Swapped {
                key: source.key.clone(),
                path: source.target.clone(),
            })
            .collect();
        let mounted: Vec<PathBuf> = host
            .containers
            .iter()
            .flat_map(|container| &container.mounts)
            .map(|mount| mount.source.clone())
            .collect();
        let real = looked_up(aside(move || {
            let real = mounted.into_iter().map(|path| {
                let real = path.canonicalize().unwrap_or_else(|_| path.clone());
                (path, real)
            });
            Ok(real.collect::<BTreeMap<_, _>>())
        }))
        .await?;
        let settings = self.config.unit(record.unit.as_str());
        let policy = users::Policy {
            shared: self.config.backup.shared_volumes,
            stop_timeout_seconds: settings.stop_timeout.as_secs().cast_signed(),
        };
        users::find(host, unit, &swapped, &real, policy)
    }

    /// Where each source belongs on this host, by its name and by what Docker knows.
    async fn locate(
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
                    let saved = recipe.volume(name)?;
                    match self.engine.volume(name).await? {
                        Some(volume) => {
                            if saved.is_some_and(|saved| saved.driver != volume.driver) {
                                warnings.push(format!(
                                    "volume `{name}` has another driver here than it was saved from"
                                ));
                            }
                            (path_of(name, &volume)?, None)
                        }
                        None => self.missing_volume(name, saved, warnings)?,
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
    async fn look(
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

struct Located {
    source: SourceRecord,
    path: PathBuf,
    /// The path is Docker's word, and not only the recipe's.
    is_named_by_docker: bool,
    /// It is below Docker's own folder, where volumes are.
    is_in_docker: bool,
    new_volume: Option<NewVolume>,
}

struct Looked {
    recipe: Recipe,
    targets: Vec<(Located, Target)>,
    files: Files,
    id: BackupId,
}

impl Located {
    fn plan(self, target: Target, id: BackupId) -> SourcePlan {
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

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
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

async fn looked_up<T>(looking: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(LOOK_PATIENCE, looking)
        .await
        .with_context(|| {
            format!(
                "a disk did not answer within {} s: is there a mount whose server is gone?",
                LOOK_PATIENCE.as_secs()
            )
        })?
}

/// What the operator should know of the point before it is restored.
fn doubts(
    all: &[Point],
    point: &Point,
    record: &PointRecord,
    sources: &[SourceRecord],
) -> Vec<String> {
    let mut doubts: Vec<String> = newer_but_not_whole(all, point)
        .iter()
        .take(1)
        .map(|newer| {
            format!(
                "there is a newer point, {}, that is not whole: {}",
                newer.backup_id,
                newer.problems.join("; ")
            )
        })
        .collect();
    for source in sources {
        for reason in &source.reasons {
            doubts.push(format!("{} is {}: {reason}", source.key, source.grade));
        }
        if !source.exclude_patterns.is_empty() {
            doubts.push(format!(
                "{} was saved without what matches {}: that will only be in the safety copy",
                source.key,
                source.exclude_patterns.join(", ")
            ));
        }
    }
    for gap in record.gaps.iter().filter(|gap| gap.is_loss) {
        doubts.push(format!("not in this point: {}: {}", gap.what, gap.detail));
    }
    doubts
}

/// How the unit comes to life where it has no containers.
fn next_steps(host: &Discovery, record: &PointRecord) -> Vec<String> {
    let has_containers = host
        .units
        .iter()
        .any(|unit| unit.name == record.unit && !unit.containers.is_empty());
    if has_containers {
        return Vec::new();
    }
    let Some(project) = &record.project else {
        return vec![format!("make container `{}` again", record.unit)];
    };
    let mut words = vec!["docker".to_owned(), "compose".to_owned()];
    words.extend(["--project-name".to_owned(), record.unit.to_string()]);
    if let Some(folder) = &project.working_dir {
        words.extend([
            "--project-directory".to_owned(),
            folder.display().to_string(),
        ]);
    }
    for file in &project.compose_files {
        words.extend(["-f".to_owned(), file.display().to_string()]);
    }
    for file in &project.env_files {
        words.extend(["--env-file".to_owned(), file.display().to_string()]);
    }
    words.extend(["up".to_owned(), "-d".to_owned()]);
    vec![shell_words::join(words)]
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
