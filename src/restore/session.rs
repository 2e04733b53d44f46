//! What both doors, the flags and the wizard, go through: opened once, then it lists, plans and applies.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::advice::doubts;
use super::choose::{choose, unasked};
use super::held::held;
use super::locate::Located;
use super::look::Looked;
use super::overlay;
use super::places::Places;
use super::plan::{Plan, SourcePlan, check_space, covered, space};
use super::points::{Point, complete_roots, points};
use super::rebuild::{Difference, Saved};
use super::recipe::{self, Recipe};
use super::request::{Destination, Request, What};
use super::target::Target;
use super::users::{self, Swapped, Users};
use crate::backup::{self, Tar};
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Discovery, Rules, place};
use crate::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::kopia::Manifest;
use crate::lock::Lock;
use crate::model::SourceKey;
use crate::model::point::{PointRecord, SourceRecord};
use crate::repository::Repository;
use crate::whose::Whose;

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
            // What does not come up may be the very unit that is restored.
            backup::bring_up_or_tell(cx).await?;
        }
        let repository = Repository::of(cx, &config)?;
        let look = async {
            let tar = Tar::find().await?;
            let engine = Engine::connect(&config.docker.socket).await?;
            let (_status, docker_root) = tokio::try_join!(repository.open(), engine.root_folder())?;
            let manifests = repository.kopia.list().await?;
            Ok((tar, engine, docker_root, manifests))
        };
        let (tar, engine, docker_root, manifests) = cx.shutdown.cut("the restore", look).await?;
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

    /// Whether a host of this name made it.
    pub fn is_own(&self, point: &Point) -> bool {
        point.is_of_host(None, &self.repository.kopia.identity())
    }

    /// Whose they are.
    pub fn whose<'p>(&'p self, points: &[Point]) -> Whose<'p> {
        Whose::of(points, self.repository.kopia.me(), None)
    }

    /// What `point` holds.
    pub async fn record(&self, point: &Point) -> Result<PointRecord> {
        let record = recipe::record(&self.repository.kopia, point, &self.manifests).await?;
        Ok(record)
    }

    pub async fn plan(&self, request: &Request) -> Result<Planned> {
        let points = self.points();
        let kopia = &self.repository.kopia;
        let point = choose(&points, request, kopia.me())?;
        let (mut recipe, host) = tokio::try_join!(
            recipe::fetch(kopia, point, &self.manifests, &self.cx.paths.runtime),
            discovery::discover(&self.engine, &self.rules)
        )?;
        let complete = complete_roots(&self.manifests);
        let mut sources = recipe.select(request, &complete)?;
        let mut warnings = doubts(&points, point, &recipe.record, &sources);
        warnings.extend(unasked(&points, point, request, kopia.me()));
        warnings.extend(recipe.notes(&sources));

        let mounted: Vec<PathBuf> = host
            .containers
            .iter()
            .flat_map(|container| &container.mounts)
            .map(|mount| place::clean(&mount.source))
            .collect();
        if matches!(request.what, What::Unit | What::Recipe) {
            recipe.bring_files(kopia).await?;
        }
        let places = self
            .places(request, &recipe, &mut sources, &mut warnings)
            .await?;
        let mut saved = if request.is_whole_unit() {
            recipe.saved(kopia).await?
        } else {
            Saved::default()
        };
        if places.is_move() {
            refuse_to_move_what_is_here(&host, request)?;
            let binds = overlay::write(&mut recipe, &saved, &places, &sources)?;
            saved.relocate(&request.unit, &places, &binds)?;
        }
        let located = self
            .locate(&sources, &recipe, &places, &mut warnings)
            .await?;
        let Looked {
            recipe,
            targets,
            files,
            id,
        } = self
            .look(recipe, located, &places, mounted, request)
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
            // How long single files are is only known when they are there.
            let is_whole = located.piece.paths.is_empty();
            let bytes = located.source.parts.iter().map(|part| part.bytes).sum();
            (
                target.device,
                target.free_bytes,
                if is_whole { bytes } else { 0 },
                target.folder(),
            )
        });
        let file_needs = files.plans.iter().filter_map(|file| {
            let (device, free) = file.room?;
            Some((device, free, file.bytes, parent(&file.path)))
        });
        let space = space(needs.chain(file_needs));
        check_space(&space)?;

        warnings.extend(
            targets
                .iter()
                .filter_map(|(located, target)| target.remark(&located.source.key, id)),
        );
        if request.puts_files_back() {
            warnings.push(
                "what is there now is kept beside the files, where services and backups see it, until you discard it".to_owned(),
            );
        }
        let sources: Vec<SourcePlan> = targets
            .into_iter()
            .map(|(located, target)| located.plan(target, id))
            .collect();
        let users = self
            .users(&host, &recipe.record, &sources, places.folder().is_some())
            .await?;
        warnings.extend(users.warnings);
        let rebuild = self
            .rebuild(&host, &recipe, &saved, request, &places, id)
            .await?;
        warnings.extend(rebuild.warnings.iter().cloned());
        let next_steps = rebuild.next_steps(&recipe.record);
        let plan = Plan {
            restore_id: id,
            unit: recipe.record.unit.clone(),
            backup_id: point.backup_id.clone(),
            identity: point.identity.clone(),
            made_by: point.made_by,
            grade: recipe.record.grade,
            is_whole_unit: request.is_whole_unit(),
            folder: places.folder().map(Path::to_owned),
            project: places.project().cloned(),
            sources,
            files: files.plans,
            stops: users.entries,
            space,
            rebuild,
            warnings,
            next_steps,
        };
        Ok(Planned { plan, recipe })
    }

    /// Where everything goes, by what was asked for. Leaves out what a copy can't have.
    async fn places(
        &self,
        request: &Request,
        recipe: &Recipe,
        sources: &mut Vec<SourceRecord>,
        warnings: &mut Vec<String>,
    ) -> Result<Places> {
        let project = recipe.record.project.as_ref();
        let working_dir = project.and_then(|project| project.working_dir.clone());
        let mut places = Places::new(request.to.clone(), working_dir);
        if places.project().is_none() {
            return Ok(places);
        }
        let mut kept = Vec::new();
        for source in std::mem::take(sources) {
            if let SourceKey::Volume { name } = &source.key {
                if place::is_anonymous(name, &BTreeMap::new()) {
                    warnings.push(format!(
                        "volume `{name}` has no name that a copy could have: take it as a plain folder with `--volume {name} --target DIR`"
                    ));
                    continue;
                }
                let saved = recipe.volume(&self.repository.kopia, name).await?;
                places.rename(&request.unit, name, saved.as_ref())?;
            }
            kept.push(source);
        }
        *sources = kept;
        Ok(places)
    }

    /// Who is to be stopped, and who of them is not started again and why, by what runs now: the plan may be hours old.
    pub async fn users_now(
        &self,
        plan: &Plan,
        record: &PointRecord,
    ) -> Result<(Users, Vec<Difference>)> {
        let host = discovery::discover(&self.engine, &self.rules).await?;
        let is_move = plan.folder.is_some();
        let mut users = self.users(&host, record, &plan.sources, is_move).await?;
        let mut differences = Vec::new();
        if plan.is_whole_unit && !is_move {
            let members = &plan.rebuild.members;
            differences = self.differences(&host, record, members).await?;
            if !differences.is_empty() {
                let records = self.cx.paths.stop_records();
                users.held = held(&self.engine, &users, &records, &record.unit).await?;
            }
        }
        Ok((users, differences))
    }

    async fn users(
        &self,
        host: &Discovery,
        record: &PointRecord,
        sources: &[SourcePlan],
        is_elsewhere: bool,
    ) -> Result<Users> {
        if sources.iter().all(|source| source.is_apart) {
            // Files alone are replaced while everything runs.
            return Ok(Users::default());
        }
        // What goes elsewhere does not concern the unit that is here.
        let unit = (!is_elsewhere).then_some(&record.unit);
        users::ask(host, &self.config, unit, &Swapped::all(sources)).await
    }
}

/// A unit has one home.
fn refuse_to_move_what_is_here(host: &Discovery, request: &Request) -> Result<()> {
    let Destination::Moved { project, .. } = &request.to else {
        return Ok(());
    };
    let name = project.as_ref().unwrap_or(&request.unit);
    let is_here = host
        .units
        .iter()
        .any(|unit| unit.name == *name && !unit.containers.is_empty());
    if !is_here {
        return Ok(());
    }
    let failure = Failure::new(
        Exit::UnitsFailed,
        format!("there are containers of `{name}` on this host"),
    )
    .note("nothing was touched");
    Err(if project.is_some() {
        failure.hint("choose another name: `--project`")
    } else {
        failure
            .hint("`--project NAME` makes a copy beside it, with volumes of its own")
            .hint("`--volume NAME`, several times, takes the data as plain folders")
            .hint("to move the unit, remove its containers first: `docker compose down`")
    }
    .into())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
