//! From a request to a plan, in five stages: which point, what of it, where to, what is there, what is done.

use std::path::{Path, PathBuf};

use super::advice::doubts;
use super::decision::{Plan, SourcePlan, Space, space, swapped};
use super::files::FilePlan;
use super::ground::Ground;
use super::locate::Located;
use super::look::Looked;
use super::names::Trust;
use super::nesting::{self, LeftOut};
use super::places::Places;
use super::select::select;
use super::target::Target;
use super::{overlay, unnamed};
use crate::discovery::{self, Discovery, place};
use crate::drivers::kopia::Manifest;
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
use crate::restore::rebuild::Difference;
use crate::restore::request::{Destination, Request, What};
use crate::swap::held::held;
use crate::swap::users::{self, Users};
use crate::ui;

/// What to do, and what it is done with.
pub struct Planned {
    pub plan: Plan,
    /// Streams of it that are on their way.
    pub ahead: Ahead,
    /// Holds the saved files until they are copied.
    pub recipe: Recipe,
}

/// Begins up to `streams` of the point's streams.
pub async fn plan(
    ground: &Ground<'_>,
    manifests: &[Manifest],
    request: &Request,
    streams: usize,
) -> Result<Planned> {
    let points = points(manifests);
    let kopia = &ground.repository.kopia;
    let point = choose(&points, &request.wanted(), kopia.me())?;
    let ahead = Ahead::open(kopia, manifests, point, streams);
    let (mut recipe, host) = tokio::try_join!(
        recipe::fetch(kopia, point, manifests, &ground.cx.paths.runtime),
        discovery::discover(&ground.engine, &ground.rules)
    )?;
    let mut draft = Draft {
        ground,
        request,
        points: &points,
        point,
        host,
        asked: Vec::new(),
        sources: Vec::new(),
        warnings: Vec::new(),
    };
    draft.select(&mut recipe, manifests).await?;
    let placed = draft.place(&mut recipe).await?;
    let looked = draft.look(recipe, &placed).await?;
    draft.decide(placed, looked, ahead).await
}

/// What is known grows from stage to stage.
struct Draft<'a> {
    ground: &'a Ground<'a>,
    request: &'a Request,
    /// Of all hosts.
    points: &'a [Point],
    point: &'a Point,
    host: Discovery,
    /// What the request means.
    asked: Vec<SourceRecord>,
    /// What of it has a place.
    sources: Vec<SourceRecord>,
    warnings: Vec<String>,
}

/// Where everything goes.
struct Placed {
    places: Places,
    saved: Saved,
}

impl Draft<'_> {
    /// What of the point is meant, and what has to be said of it.
    async fn select(&mut self, recipe: &mut Recipe, manifests: &[Manifest]) -> Result<()> {
        let (request, kopia) = (self.request, &self.ground.repository.kopia);
        let complete = complete_roots(manifests);
        let mut sources = select(&recipe.record, recipe.lacks(), request, &complete)?;
        recipe.read_lists(kopia, &mut sources).await?;
        let doubts = doubts(self.points, self.point, &recipe.record, &sources);
        self.warnings.extend(doubts);
        if request.is_whole_unit() {
            let beside = &self.ground.beside;
            let left_out = beside.leave_out(&request.unit, &mut sources);
            self.warnings.extend(left_out);
        }
        let unasked = unasked(self.points, self.point, &request.wanted(), kopia.me());
        self.warnings.extend(unasked);
        self.warnings.extend(recipe.notes(&sources));
        if matches!(request.what, What::Unit | What::Recipe) {
            recipe.bring_files(kopia).await?;
        }
        if let (What::Files { paths, .. }, [source]) = (&request.what, sources.as_slice()) {
            nesting::refuse_paths_of_others(&recipe.record, source, paths)?;
        }
        if let Some(there) = &recipe.record.ids {
            self.warnings.extend(other_ids(there, &self.host.ids));
        }
        self.asked.clone_from(&sources);
        self.sources = sources;
        Ok(())
    }

    /// Where it goes, by its names.
    async fn place(&mut self, recipe: &mut Recipe) -> Result<Placed> {
        let request = self.request;
        let places = self.places(recipe).await?;
        let mut saved = if request.is_whole_unit() {
            recipe.saved(&self.ground.repository.kopia).await?
        } else {
            Saved::default()
        };
        unnamed::learn(&saved);
        let wires = unnamed::wires(&self.host, &saved, &self.sources, &places);
        self.warnings.extend(if places.project().is_some() {
            unnamed::of_copy(&mut self.sources, &wires)
        } else {
            unnamed::lost(&self.host, recipe.record.kind, &self.sources, &wires)
        });
        if places.is_move() {
            refuse_to_move_what_is_here(&self.host, request)?;
        }
        if places.is_move() || !wires.is_empty() {
            let binds = overlay::write(recipe, &saved, &places, &self.sources, &wires).await?;
            saved.relocate(&request.unit, &places, &binds)?;
        }
        Ok(Placed { places, saved })
    }

    /// What the disks say of those places.
    async fn look(&mut self, recipe: Recipe, placed: &Placed) -> Result<Looked> {
        let (ground, places) = (self.ground, &placed.places);
        let located = ground
            .locate(&self.sources, &recipe, places, &mut self.warnings)
            .await?;
        let whose = Whose::of(self.points, ground.repository.kopia.me(), None);
        let is_own = whose.is_own(self.point);
        let trust = self.trust(&recipe.record, is_own)?;
        let bystanders = ground.bystanders(&recipe, &self.asked, places).await?;
        ground
            .look(recipe, located, bystanders, places, trust, self.request)
            .await
    }

    /// What is done.
    async fn decide(mut self, placed: Placed, looked: Looked, ahead: Ahead) -> Result<Planned> {
        let (ground, request) = (self.ground, self.request);
        let Placed { places, saved } = placed;
        let Looked {
            recipe,
            targets,
            files,
            id,
            mut left_out,
            volumes,
            powers,
            warnings: of_disks,
        } = looked;
        left_out.extend(self.without_a_place());
        self.warnings.extend(of_disks);
        self.warnings.extend(files.warnings);
        let space = needed(&targets, &files.plans);
        let remarks = targets
            .iter()
            .filter_map(|(located, target)| target.remark(&located.source.key, id));
        self.warnings.extend(remarks);
        if request.puts_files_back() {
            self.warnings.push(
                "what is there now is kept beside the files, where services and backups see it, until you discard it".to_owned(),
            );
        }
        let mut sources: Vec<SourcePlan> = targets
            .into_iter()
            .map(|(located, target)| located.plan(target, id))
            .collect();
        nesting::settle(&mut sources);
        ahead.keep(sources.iter().filter_map(|source| source.parts.first()));
        let is_elsewhere = places.folder().is_some();
        let users = ground.users(&self.host, &recipe.record, &sources, is_elsewhere);
        let users = users.await?;
        self.warnings.extend(users.warnings);
        let mut rebuild = ground
            .rebuild(&self.host, &recipe, &saved, request, &places, id)
            .await?;
        rebuild.volumes.extend(volumes);
        rebuild.needs_leave(&files.kept_out);
        self.warnings.extend(rebuild.warnings.iter().cloned());
        let next_steps = rebuild.next_steps(&recipe.record);
        let plan = Plan {
            restore_id: id,
            unit: recipe.record.unit.clone(),
            backup_id: self.point.backup_id.clone(),
            point_time: self.point.time,
            identity: self.point.identity.clone(),
            made_by: self.point.made_by,
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
            warnings: self.warnings,
            next_steps,
        };
        Ok(Planned {
            plan,
            ahead,
            recipe,
        })
    }

    /// What was asked for, and has no place in a copy.
    fn without_a_place(&self) -> impl Iterator<Item = LeftOut> {
        let has_place = |asked: &&SourceRecord| {
            let mut sources = self.sources.iter();
            sources.any(|source| source.key == asked.key)
        };
        let asked = self.asked.iter().filter(move |asked| !has_place(asked));
        asked.map(|source| LeftOut {
            key: source.key.clone(),
            reason: "it has no name, and no place that a copy could have it at".to_owned(),
            restored_with: None,
        })
    }

    /// Where everything goes, by what was asked for.
    async fn places(&mut self, recipe: &Recipe) -> Result<Places> {
        let request = self.request;
        let project = recipe.record.project.as_ref();
        let working_dir = project.and_then(|project| project.working_dir.clone());
        let mut places = Places::new(request.to.clone(), working_dir);
        if places.project().is_none() {
            return Ok(places);
        }
        for source in &self.sources {
            let SourceKey::Volume { name } = &source.key else {
                continue;
            };
            if ui::unnamed::is_unnamed(name) {
                places.name_unnamed(name);
                continue;
            }
            let saved = recipe.volume(&self.ground.repository.kopia, name).await?;
            places.rename(&request.unit, name, saved.as_ref())?;
            let renamed = places.renamed(name);
            if let Some(device) = renamed.and_then(|renamed| renamed.device.as_ref()) {
                self.warnings.push(format!(
                    "the options of volume `{name}` name the place of its data, which stays the original's: the copy has it in `{}`",
                    device.display()
                ));
            }
        }
        Ok(places)
    }

    /// By what places on this host are judged. `is_own`: it made the point.
    fn trust(&self, record: &PointRecord, is_own: bool) -> Result<Trust> {
        let (host, request) = (&self.host, self.request);
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
            own_files: self.ground.own_files()?,
            is_own,
            can_ask: request.doors.can_ask,
        })
    }
}

impl Ground<'_> {
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

/// The space that it takes, by file system.
fn needed(targets: &[(Located, Target)], files: &[FilePlan]) -> Vec<Space> {
    let data = targets.iter().map(|(located, target)| {
        // How long single files are is only known when they are there.
        let is_whole = located.piece.paths.is_empty();
        let bytes = located.source.parts.iter().map(|part| part.bytes).sum();
        let needed = if is_whole { bytes } else { 0 };
        (&target.pool, needed, target.folder())
    });
    let files = files.iter().filter_map(|file| {
        let pool = file.pool.as_ref()?;
        Some((pool, file.bytes, parent(&file.path)))
    });
    space(data.chain(files))
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
    .note("nothing was changed");
    Err(if project.is_some() {
        failure.hint("choose another name: `--project`")
    } else {
        failure
            .hint("`--project NAME` makes a copy beside it, with volumes of its own")
            .hint("`--volume NAME` (can be repeated) restores the data as plain directories")
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
