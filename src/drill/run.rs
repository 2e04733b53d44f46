//! The order of it all. However it ends, what was made goes, unless it is to be kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::Utc;
use serde_json::Value;
use tokio::time::Instant;
use tracing::info;

use super::boot::Boot;
use super::data::Data;
use super::images::Images;
use super::isolate::{self, Given, Isolated, Wanted};
use super::mask::Mask;
use super::members::{self, Member};
use super::places::{self, Places};
use super::record::Record;
use super::request::Request;
use super::{probe, remove, report, resources, saved_files};
use crate::base::blocking::aside;
use crate::base::files::{self, make_private_folder};
use crate::base::lock::{self, Lock};
use crate::base::{fault, heartbeat};
use crate::config::Config;
use crate::context::Context;
use crate::drivers::docker::{ComposeUp, Engine, cli};
use crate::drivers::kopia::Manifest;
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::logging;
use crate::model::SourceKey;
use crate::model::drill::{DrillOutcome, DrillReport, ServiceState};
use crate::points::choose::{choose, unasked};
use crate::points::point::{Point, points};
use crate::points::recipe::{self, Recipe};
use crate::points::saved::Saved;
use crate::points::whose::Whose;
use crate::reports::drills::Drills;
use crate::reports::{metrics, past};
use crate::repository::Repository;
use crate::restore::plan::decision::Space;

/// Drills what `request` wants. An error is one of this host, and tells nothing of the point.
pub async fn run(cx: &Context, request: &Request) -> Result<DrillReport> {
    let config = cx.config()?.config;
    let _lock = Lock::take_to_drill(&cx.paths.runtime, "drill")?;
    if let Some(holder) = lock::holder(&cx.paths.runtime) {
        return Err(
            Failure::new(Exit::Locked, format!("another run is at work: {holder}"))
                .hint("a drill begins when no backup or restore is at work: wait until it is done")
                .into(),
        );
    }
    let _patience = heartbeat::allow(config.backup.stall_timeout);
    remove::remove_all_killed(&cx.paths).await?;
    let repository = Repository::of(cx, &config)?;
    let look = async {
        let tar = Tar::find().await?;
        if cli::compose_version().await?.is_none() {
            return Err(without_compose().into());
        }
        let engine = Engine::connect(&config.docker.socket).await?;
        let (status, root, manifests) = tokio::join!(
            repository.open(),
            engine.root_folder(),
            repository.kopia.list()
        );
        Ok((tar, engine, status?.unique_id, root?, manifests?))
    };
    let (tar, engine, unique_id, docker_root, manifests) =
        cx.shutdown.cut("the drill", look).await?;
    let all = points(&manifests);
    let point = choose(&all, &request.wanted, repository.kopia.me())?;
    let record = Record::new(&config, &cx.paths, &point.unit);
    let mut drill = Drill {
        report: begun(&record, point, unique_id),
        is_own: Whose::of(&all, repository.kopia.me(), None).is_own(point),
        cx,
        config: &config,
        request,
        engine: &engine,
        docker_root,
        repository: &repository,
        tar,
        record: &record,
        point,
        manifests: &manifests,
        has_containers: false,
    };
    let remark = unasked(&all, point, &request.wanted, repository.kopia.me());
    drill.report.warnings.extend(remark);
    record.write(&cx.paths)?;
    let ended = cx.shutdown.cut("the drill", Box::pin(drill.work())).await;
    let (mut report, has_containers) = (drill.report, drill.has_containers);
    let ended = settle(&mut report, ended);
    leave(
        cx,
        &engine,
        &record,
        &mut report,
        request.is_kept && has_containers,
    )
    .await;
    ended?;
    remember(cx, &config, &report);
    Ok(report)
}

fn without_compose() -> Failure {
    let install = "install the Compose plugin: https://docs.docker.com/compose/install/linux/";
    Failure::new(
        Exit::Program,
        "`docker compose` is missing, which makes the copy",
    )
    .hint(install)
}

fn begun(record: &Record, point: &Point, repository: String) -> DrillReport {
    DrillReport {
        id: record.id.clone(),
        project: record.project.clone(),
        unit: point.unit.clone(),
        backup_id: point.backup_id.clone(),
        point_time: point.time,
        identity: point.identity.clone(),
        machine: point.machine.clone(),
        repository,
        started_at: record.started_at,
        finished_at: record.started_at,
        outcome: DrillOutcome::NotGood,
        exit_code: Exit::UnitsFailed.code(),
        bytes: 0,
        restore_seconds: None,
        start_seconds: None,
        healthy_seconds: None,
        recovery_seconds: None,
        services: Vec::new(),
        probes: Vec::new(),
        left_out: Vec::new(),
        dropped: Vec::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
        is_kept: false,
    }
}

/// What was found wrong with the point becomes part of the report; all else is an error still.
fn settle(report: &mut DrillReport, ended: Result<()>) -> Result<()> {
    if let Err(error) = ended {
        if !matches!(exit_of(&error), Exit::UnitsFailed | Exit::Unexpected) {
            return Err(error);
        }
        report.errors.push(format!("{error:#}"));
    }
    report.outcome = if !report.errors.is_empty() {
        DrillOutcome::NotGood
    } else if report.left_out.is_empty() && !report.services.is_empty() {
        DrillOutcome::Good
    } else {
        DrillOutcome::Partial
    };
    let is_good = report.outcome != DrillOutcome::NotGood;
    report.exit_code = if is_good { 0 } else { Exit::UnitsFailed.code() };
    let parts = [
        report.restore_seconds,
        report.start_seconds,
        report.healthy_seconds,
    ];
    report.recovery_seconds = is_good.then(|| parts.into_iter().flatten().sum());
    Ok(())
}

/// Removes it all, or notes that it stays.
async fn leave(
    cx: &Context,
    engine: &Engine,
    record: &Record,
    report: &mut DrillReport,
    is_kept: bool,
) {
    let left = if is_kept {
        report.is_kept = true;
        record.keep(&cx.paths)
    } else {
        cx.ui.say("Removing the copy");
        remove::remove(engine, &cx.paths, record).await
    };
    if let Err(error) = left {
        report.is_kept = false;
        let what = format!(
            "{error:#}; `kopi-docka recover` tries again to remove drill {}",
            record.id
        );
        cx.ui.warn(&what);
        report.warnings.push(what);
    }
    report.finished_at = Utc::now();
}

/// The result is what it is, whether or not it can be written down.
fn remember(cx: &Context, config: &Config, report: &DrillReport) {
    info!(target: logging::FILE, "{}", report::sentence(report));
    let path = past::folder(config).join(format!("drill-{}.json", report.id));
    let written = serde_json::to_vec_pretty(report)
        .map_err(anyhow::Error::from)
        .and_then(|text| files::write(&path, &text));
    let known = Drills::remember(&cx.paths.drills(), report);
    let told = known.and_then(|known| metrics::write_drills(config, &known));
    for error in [written, told].into_iter().filter_map(Result::err) {
        cx.ui.warn(format!(
            "the result of the drill is not written down everywhere: {error:#}"
        ));
    }
}

/// One drill at work.
struct Drill<'a> {
    cx: &'a Context,
    config: &'a Config,
    request: &'a Request,
    engine: &'a Engine,
    docker_root: PathBuf,
    repository: &'a Repository,
    tar: Tar,
    record: &'a Record,
    point: &'a Point,
    /// This host made it.
    is_own: bool,
    manifests: &'a [Manifest],
    has_containers: bool,
    report: DrillReport,
}

/// What is to be booted, before anything is restored.
struct Planned {
    recipe: Recipe,
    isolated: Isolated,
    spaces: Vec<Space>,
    mask: Mask,
}

impl Drill<'_> {
    async fn work(&mut self) -> Result<()> {
        fault::reached("drill-recorded").await;
        let mut planned = self.plan().await?;
        let began = Instant::now();
        self.restore(&mut planned).await?;
        let restored = Instant::now();
        self.report.restore_seconds = Some((restored - began).as_secs_f64());
        if planned.isolated.booting.is_empty() {
            return Ok(());
        }
        self.boot(&planned, restored).await
    }

    async fn plan(&mut self) -> Result<Planned> {
        let kopia = &self.repository.kopia;
        let folder = self.record.folder.as_path();
        make_private_folder(folder)?;
        self.cx.ui.say(format!(
            "Drilling `{}`, restore point {}",
            self.point.unit, self.point.backup_id
        ));
        // Its work directory goes with the drill: those of a run are removed by the next run.
        let mut recipe = recipe::fetch(kopia, self.point, self.manifests, folder).await?;
        let mut sources = recipe.record.sources.clone();
        recipe.read_lists(kopia, &mut sources).await?;
        recipe.record.sources = sources;
        let lacking = recipe
            .record
            .missing
            .iter()
            .map(|missing| format!("{} is not in the point: {}", missing.key, missing.reason));
        self.report.warnings.extend(lacking);
        recipe.bring_files(kopia).await?;
        let saved = recipe.saved(kopia).await?;
        self.report.warnings.extend(saved.problems.iter().cloned());
        let mask = Mask::of(&saved);
        let mut members = members::members(&recipe, &saved, &self.record.id);
        let (files, configs, variables) = self.configs(&recipe, &saved, &members, &mask).await?;
        members::only_needed(&mut members, &configs);
        let lost = members::take_lost(&mut members, &configs).into_iter();
        self.report.errors.extend(lost.map(|name| {
            format!("service `{name}` ran when the point was made, and the saved compose files do not have it")
        }));
        self.report.left_out =
            isolate::left_out(&configs, members.keys(), &self.config.docker.socket);
        for left in &self.report.left_out {
            members.remove(&left.service);
        }
        let wanted = self.with_images(&saved, members).await?;
        let spaces = resources::check_space(&recipe.record, &self.docker_root, folder).await?;
        if self.is_own {
            resources::check_memory(self.engine, &recipe.record).await?;
        }
        let mut places = Places {
            folder,
            sources: &recipe.record.sources,
            files: &files,
            of_host: BTreeMap::new(),
        };
        let is_held = |path: &Path| matches!(places.place(path, false), isolate::Placed::At { .. });
        places.of_host = places::copy_from_host(folder, &configs, is_held).await?;
        let holds = |name: &str| {
            let mut sources = recipe.record.sources.iter();
            sources.any(
                |source| matches!(&source.key, SourceKey::Volume { name: held } if held == name),
            )
        };
        let isolated = isolate::isolate(&Given {
            id: &self.record.id,
            project: &self.record.project,
            folder,
            configs: &configs,
            wanted: &wanted,
            holds: &holds,
            place: &|path, is_read_only| places.place(path, is_read_only),
            variables: &variables,
        });
        self.report.dropped.extend(isolated.dropped.iter().cloned());
        Ok(Planned {
            recipe,
            isolated,
            spaces,
            mask,
        })
    }

    /// What compose makes of the saved files, or what containers tell where there are none; with the files that are laid out, and with
    /// variables that secrets may be taken from.
    async fn configs(
        &mut self,
        recipe: &Recipe,
        saved: &Saved,
        members: &BTreeMap<String, Member<'_>>,
        mask: &Mask,
    ) -> Result<(Vec<PathBuf>, Vec<Value>, BTreeMap<String, String>)> {
        let folder = self.record.folder.as_path();
        let files = saved_files::lay_out(folder, recipe, &mut self.report.warnings)?;
        saved_files::lead_into_mirror(folder, &files)?;
        let up = ComposeUp::of(&recipe.record);
        let Some(up) = up.map(|up| up.with_secrets(saved.secrets.get("project:variables"))) else {
            let containers = members
                .iter()
                .map(|(name, member)| (name.clone(), member.inspect));
            let config =
                isolate::config_of(&containers.collect(), &saved.secrets, &[&saved.engine.name]);
            return Ok((files, vec![config], BTreeMap::new()));
        };
        let variables = up
            .environment()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = variables.collect();
        // Compose may quote what it does not understand.
        let resolved = saved_files::resolve(folder, &up).await;
        let resolved =
            resolved.map_err(|error| anyhow::anyhow!(mask.masked(&format!("{error:#}"))));
        Ok((files, resolved?, variables))
    }

    /// An error when one is missing: nothing is restored for a copy that cannot be booted.
    async fn with_images(
        &self,
        saved: &Saved,
        members: BTreeMap<String, Member<'_>>,
    ) -> Result<BTreeMap<String, Wanted>> {
        let name =
            |member: &Member<'_>| crate::points::saved::container_name(member.inspect).to_owned();
        let names: Vec<String> = members.values().map(name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let images = Images {
            cx: self.cx,
            engine: self.engine,
            saved,
            stall: self.config.backup.stall_timeout,
            pulls: self.request.pulls,
        };
        let (found, missing) = images.find(&names).await?;
        if !missing.is_empty() {
            return Err(Failure::new(Exit::UnitsFailed, missing.join("; "))
                .note("nothing was restored")
                .into());
        }
        let mut wanted = BTreeMap::new();
        for (service, member) in members {
            if let Some(image) = found.get(&name(&member)) {
                let with_image = Wanted {
                    image: image.id.clone(),
                    image_labels: image.labels.clone(),
                    ..member.wanted
                };
                wanted.insert(service, with_image);
            }
        }
        Ok(wanted)
    }

    async fn restore(&mut self, planned: &mut Planned) -> Result<()> {
        let record = &planned.recipe.record;
        let volumes = &mut planned.isolated.volumes;
        for source in &record.sources {
            // Also what no service of the copy mounts: that it can be read back is proven by that.
            if let SourceKey::Volume { name } = &source.key {
                let ours = format!("{}_{name}", self.record.project);
                volumes.entry(name.clone()).or_insert(ours);
            }
        }
        self.report.bytes = record
            .sources
            .iter()
            .flat_map(|source| &source.parts)
            .map(|part| part.bytes)
            .sum();
        self.cx.ui.say(format!(
            "Restoring {}",
            crate::base::text::bytes(self.report.bytes)
        ));
        let data = Data {
            cx: self.cx,
            config: self.config,
            engine: self.engine,
            repository: self.repository,
            tar: &self.tar,
            record: self.record,
        };
        let mounts = data.make_volumes(volumes).await?;
        fault::reached("drill-volumes").await;
        let restoring = data
            .restore(&record.sources, &mounts, &planned.spaces)
            .await;
        self.repository.site.explained(restoring).await?;
        fault::reached("drill-restored").await;
        let (within, made) = (
            planned.isolated.within.clone(),
            planned.isolated.made.clone(),
        );
        aside(move || {
            places::check_within(&within)?;
            made.iter()
                .try_for_each(|file| files::write(&file.path, file.content.as_bytes()))
        })
        .await
    }

    async fn boot(&mut self, planned: &Planned, restored: Instant) -> Result<()> {
        self.cx.ui.say("Starting the copy");
        let boot = Boot {
            cx: self.cx,
            config: self.config,
            engine: self.engine,
            record: self.record,
            mask: &planned.mask,
        };
        self.has_containers = true;
        let containers = boot.create(&planned.isolated).await?;
        let deadline = Instant::now() + self.config.drill.timeout;
        let booted = boot.start(&planned.isolated, &containers, deadline).await?;
        self.report.services = booted.services;
        self.report.errors.extend(booted.errors);
        let all_started = booted.all_started;
        self.report.start_seconds = all_started.map(|at| (at - restored).as_secs_f64());
        if !self.report.errors.is_empty() {
            return Ok(());
        }
        let probes = self.config.probes(self.point.unit.as_str());
        let probed = probe::ask(
            self.engine,
            probes,
            &containers,
            &self.report.left_out,
            deadline,
            &planned.mask,
        )
        .await;
        self.report.probes = probed.probes;
        self.report.errors.extend(probed.errors);
        self.report.dropped.extend(probed.skipped);
        self.report.healthy_seconds = all_started.map(|at| at.elapsed().as_secs_f64());
        if !self.report.errors.is_empty() {
            let names = self
                .report
                .probes
                .iter()
                .filter(|probe| !probe.is_good)
                .map(|probe| probe.service.clone());
            let names: Vec<String> = names.collect();
            for service in self
                .report
                .services
                .iter_mut()
                .filter(|service| names.contains(&service.name))
            {
                if service.state != ServiceState::Failed
                    && let Some(id) = containers.get(&service.name)
                {
                    service.log = boot.log_of(id).await;
                }
            }
        }
        fault::reached("drill-booted").await;
        Ok(())
    }
}
