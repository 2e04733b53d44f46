//! What both doors, the flags and the wizard, go through: opened once, then it lists, plans and applies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::advice::{doubts, next_steps};
use super::aside::aside;
use super::choose::choose;
use super::locate::{Located, Looked, looked_up};
use super::plan::{Plan, SourcePlan, check_space, covered, space};
use super::points::{Point, complete_roots, points};
use super::recipe::{self, Recipe};
use super::request::Request;
use super::target::Target;
use super::users::{self, Swapped, Users};
use crate::backup::{self, Tar};
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Discovery, Rules, place};
use crate::docker::Engine;
use crate::error::Result;
use crate::kopia::Manifest;
use crate::lock::Lock;
use crate::model::SourceKey;
use crate::model::point::PointRecord;
use crate::repository::Repository;

/// Holds the lock, an open repository and a connected engine.
pub struct Session<'a> {
    pub cx: &'a Context,
    pub config: Config,
    pub engine: Engine,
    pub repository: Repository,
    pub tar: Tar,
    pub(super) rules: Rules,
    manifests: Vec<Manifest>,
    pub(super) docker_root: PathBuf,
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
        let (mut recipe, host) = tokio::try_join!(
            recipe::fetch(kopia, point, &self.cx.paths.runtime),
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
        if request.is_whole_unit() {
            recipe.bring_files(kopia).await?;
        }
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
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
