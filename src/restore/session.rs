//! What both doors, the flags and the wizard, go through: opened once, then it lists, plans and applies.

use std::path::{Path, PathBuf};

use super::all::Beside;
use super::plan::advice::doubts;
use super::plan::decision::{Plan, SourcePlan, space, swapped};
use super::plan::look::Looked;
use super::plan::names::Trust;
use super::plan::nesting::{self, LeftOut};
use super::plan::overlay;
use super::plan::places::Places;
use super::plan::select::select;
use super::plan::unnamed;
use super::rebuild::Difference;
use super::request::{Destination, Request, What};
use crate::base::lock::Lock;
use crate::base::memory::Memory;
use crate::base::work;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Discovery, Rules, place};
use crate::drivers::docker::Engine;
use crate::drivers::kopia::Manifest;
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result};
use crate::model::point::{IdWorld, PointRecord, SourceRecord};
use crate::model::unit::ComposeProject;
use crate::model::{SourceKey, Unit};
use crate::points::ahead::Ahead;
use crate::points::choose::{choose, unasked};
use crate::points::point::{Point, complete_roots, points};
use crate::points::recipe::{self, Recipe};
use crate::points::saved::Saved;
use crate::points::whose::Whose;
use crate::recovery;
use crate::repository::open::Repository;
use crate::swap::held::held;
use crate::swap::users::{self, Users};
use crate::ui;

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
    /// What is restored in the same go.
    pub(super) beside: Beside,
    _lock: Lock,
}

/// What to do, and what it is done with.
pub struct Planned {
    pub plan: Plan,
    /// Streams of it that are on their way.
    pub ahead: Ahead,
    /// Holds the saved files until they are copied.
    pub recipe: Recipe,
}

impl<'a> Session<'a> {
    /// `is_dry` leaves what an earlier run left down to the next real one.
    pub async fn open(cx: &'a Context, is_dry: bool) -> Result<Self> {
        let config = cx.config()?.config;
        let lock = Lock::take(&cx.paths.runtime, "restore")?;
        work::remove_stale(&cx.paths.runtime)?;
        if !is_dry {
            // What does not come up may be the very unit that is restored.
            recovery::bring_up_or_tell(cx).await?;
        }
        let repository = Repository::of(cx, &config)?;
        let look = async {
            let tar = Tar::find().await?;
            let engine = Engine::connect(&config.docker.socket).await?;
            // At once, since each kopia costs the start of a process; what the status says comes first.
            let (status, docker_root, manifests) = tokio::join!(
                repository.open(),
                engine.root_folder(),
                repository.kopia.list()
            );
            status?;
            let (docker_root, manifests) = (docker_root?, manifests?);
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
            beside: Beside::default(),
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
        self.plan_with(request, 0).await
    }

    /// [`Session::plan`] for who carries it out at once: its streams are begun meanwhile.
    pub async fn plan_to_apply(&self, request: &Request) -> Result<Planned> {
        let streams = if request.is_whole_unit() {
            self.config.workers(Memory::of_this_host())
        } else {
            0
        };
        self.plan_with(request, streams).await
    }

    /// Begins up to `streams` of the point's streams.
    async fn plan_with(&self, request: &Request, streams: usize) -> Result<Planned> {
        let points = self.points();
        let kopia = &self.repository.kopia;
        let point = choose(&points, &request.wanted(), kopia.me())?;
        let ahead = Ahead::open(kopia, &self.manifests, point, streams);
        let (mut recipe, host) = tokio::try_join!(
            recipe::fetch(kopia, point, &self.manifests, &self.cx.paths.runtime),
            discovery::discover(&self.engine, &self.rules)
        )?;
        let complete = complete_roots(&self.manifests);
        let mut sources = select(&recipe.record, recipe.lacks(), request, &complete)?;
        let mut warnings = doubts(&points, point, &recipe.record, &sources);
        if request.is_whole_unit() {
            warnings.extend(self.beside.leave_out(&request.unit, &mut sources));
        }
        warnings.extend(unasked(&points, point, &request.wanted(), kopia.me()));
        warnings.extend(recipe.notes(&sources));

        if matches!(request.what, What::Unit | What::Recipe) {
            recipe.bring_files(kopia).await?;
        }
        if let (What::Files { paths, .. }, [source]) = (&request.what, sources.as_slice()) {
            nesting::refuse_paths_of_others(&recipe.record, source, paths)?;
        }
        if let Some(there) = &recipe.record.ids {
            warnings.extend(other_ids(there, &host.ids));
        }
        let asked = sources.clone();
        let places = self
            .places(request, &recipe, &sources, &mut warnings)
            .await?;
        let mut saved = if request.is_whole_unit() {
            recipe.saved(kopia).await?
        } else {
            Saved::default()
        };
        unnamed::learn(&saved);
        let wires = unnamed::wires(&host, &saved, &sources, &places);
        warnings.extend(if places.project().is_some() {
            unnamed::of_copy(&mut sources, &wires)
        } else {
            unnamed::lost(&host, recipe.record.kind, &sources, &wires)
        });
        if places.is_move() {
            refuse_to_move_what_is_here(&host, request)?;
        }
        if places.is_move() || !wires.is_empty() {
            let binds = overlay::write(&mut recipe, &saved, &places, &sources, &wires).await?;
            saved.relocate(&request.unit, &places, &binds)?;
        }
        let located = self
            .locate(&sources, &recipe, &places, &mut warnings)
            .await?;
        let is_own = self.whose(&points).is_own(point);
        let trust = self.trust(&host, &recipe.record, request, is_own)?;
        let bystanders = self.bystanders(&recipe, &asked, &places).await?;
        let no_copy = asked
            .into_iter()
            .filter(|asked| !sources.iter().any(|source| source.key == asked.key));
        let no_copy: Vec<LeftOut> = no_copy
            .map(|source| LeftOut {
                key: source.key,
                reason: "it has no name, and no place that a copy could have it at".to_owned(),
                restored_with: None,
            })
            .collect();
        let Looked {
            recipe,
            targets,
            files,
            id,
            mut left_out,
            volumes,
            powers,
            warnings: looked,
        } = self
            .look(recipe, located, bystanders, &places, trust, request)
            .await?;
        left_out.extend(no_copy);
        warnings.extend(looked);
        warnings.extend(files.warnings);

        let needs = targets.iter().map(|(located, target)| {
            // How long single files are is only known when they are there.
            let is_whole = located.piece.paths.is_empty();
            let bytes = located.source.parts.iter().map(|part| part.bytes).sum();
            (
                &target.pool,
                if is_whole { bytes } else { 0 },
                target.folder(),
            )
        });
        let file_needs = files.plans.iter().filter_map(|file| {
            let pool = file.pool.as_ref()?;
            Some((pool, file.bytes, parent(&file.path)))
        });
        let space = space(needs.chain(file_needs));

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
        let mut sources: Vec<SourcePlan> = targets
            .into_iter()
            .map(|(located, target)| located.plan(target, id))
            .collect();
        nesting::settle(&mut sources);
        ahead.keep(sources.iter().flat_map(|source| &source.parts));
        let users = self
            .users(&host, &recipe.record, &sources, places.folder().is_some())
            .await?;
        warnings.extend(users.warnings);
        let mut rebuild = self
            .rebuild(&host, &recipe, &saved, request, &places, id)
            .await?;
        rebuild.volumes.extend(volumes);
        rebuild.needs_leave(&files.kept_out);
        warnings.extend(rebuild.warnings.iter().cloned());
        let next_steps = rebuild.next_steps(&recipe.record);
        let plan = Plan {
            restore_id: id,
            unit: recipe.record.unit.clone(),
            backup_id: point.backup_id.clone(),
            point_time: point.time,
            identity: point.identity.clone(),
            made_by: point.made_by,
            grade: recipe.record.grade,
            is_whole_unit: request.is_whole_unit(),
            folder: places.folder().map(Path::to_owned),
            project: places.project().cloned(),
            sources,
            left_out,
            powers,
            files: files.plans,
            stops: users.entries,
            space,
            rebuild,
            warnings,
            next_steps,
        };
        Ok(Planned {
            plan,
            ahead,
            recipe,
        })
    }

    /// Where everything goes, by what was asked for.
    async fn places(
        &self,
        request: &Request,
        recipe: &Recipe,
        sources: &[SourceRecord],
        warnings: &mut Vec<String>,
    ) -> Result<Places> {
        let project = recipe.record.project.as_ref();
        let working_dir = project.and_then(|project| project.working_dir.clone());
        let mut places = Places::new(request.to.clone(), working_dir);
        if places.project().is_none() {
            return Ok(places);
        }
        for source in sources {
            let SourceKey::Volume { name } = &source.key else {
                continue;
            };
            if ui::unnamed::is_unnamed(name) {
                places.name_unnamed(name);
                continue;
            }
            let saved = recipe.volume(&self.repository.kopia, name).await?;
            places.rename(&request.unit, name, saved.as_ref())?;
            let renamed = places.renamed(name);
            if let Some(device) = renamed.and_then(|renamed| renamed.device.as_ref()) {
                warnings.push(format!(
                    "the options of volume `{name}` name the place of its data, which stays the original's: the copy has it in `{}`",
                    device.display()
                ));
            }
        }
        Ok(places)
    }

    /// By what places on this host are judged. `is_own`: it made the point.
    fn trust(
        &self,
        host: &Discovery,
        record: &PointRecord,
        request: &Request,
        is_own: bool,
    ) -> Result<Trust> {
        let mounts = host
            .containers
            .iter()
            .flat_map(|container| &container.mounts);
        let (own, others): (Vec<_>, Vec<_>) = host
            .units
            .iter()
            .filter_map(|unit| Some((unit, unit.compose.as_ref()?)))
            .partition(|(unit, _)| unit.name == record.unit);
        let files = |projects: &[(&Unit, &ComposeProject)]| -> Vec<PathBuf> {
            let projects = projects.iter();
            let named =
                projects.flat_map(|(_, project)| project.files.iter().chain(&project.env_files));
            named.cloned().collect()
        };
        let folders = own
            .iter()
            .filter_map(|(_, project)| project.working_dir.clone());
        Ok(Trust {
            mounted: mounts.map(|mount| place::clean(&mount.source)).collect(),
            labelled: files(&own).into_iter().chain(folders).collect(),
            of_others: files(&others),
            working_dirs: working_dirs(record),
            allowed: request.doors.allow_paths.clone(),
            own_files: self.own_files()?,
            is_own,
            can_ask: request.doors.can_ask,
        })
    }

    /// What decides how this program works, and what opens the repository.
    fn own_files(&self) -> Result<Vec<PathBuf>> {
        let paths = &self.cx.paths;
        let profile = self.repository.kopia.profile().to_owned();
        let known = [self.cx.config_target()?, paths.credentials.clone(), profile];
        let password = self.config.kopia.password_file.clone();
        Ok(known
            .into_iter()
            .chain(password)
            .map(|path| place::clean(&path))
            .collect())
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
        users::ask(host, &self.config, unit, &swapped(sources)).await
    }
}

/// Each directory that the containers of a project were made in.
fn working_dirs(record: &PointRecord) -> Vec<PathBuf> {
    let project = record.project.iter();
    let all = project.flat_map(|project| {
        let groups = project.groups.iter().map(|group| &group.working_dir);
        std::iter::once(&project.working_dir).chain(groups)
    });
    all.flatten().cloned().collect()
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

/// Said when owners come back as numbers that containers here see as others.
fn other_ids(there: &IdWorld, here: &IdWorld) -> Option<String> {
    (there != here).then(|| {
        format!(
            "the engine of the point {there}, the one here {here}: owners come back as the numbers that they had on the host, which containers here see as other users. Give the data to the right ones (`chown`) before you start it"
        )
    })
}
