//! A run, in order: lock, recover, discover, and beside it open the repository; then unit after unit; then retention,
//! maintenance and the report.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::{OnceCell, Semaphore};
use tracing::{Instrument as _, info, info_span};

use super::after::{After, renew_bundle, tidy_up};
use super::around::{self, Around};
use super::choose::choose;
use super::events::Event;
use super::memory::{self, Acceptance, Recalled};
use super::pipeline::save_all;
use super::plan::UnitPlan;
use super::proof::Proof;
use super::reporter::Reporter;
use super::spool::{Budget, Floor, Spool};
use super::store::Store;
use super::survey::plan_unit;
use super::tags::Filing;
use super::turns::Turns;
use crate::base::blocking::aside;
use crate::base::descriptors;
use crate::base::files::make_private_folder;
use crate::base::lock::Lock;
use crate::base::memory::Memory;
use crate::base::paths::Paths;
use crate::base::shutdown::Shutdown;
use crate::base::work;
use crate::changed::index::IndexedPart;
use crate::config::{Config, Loaded, SpoolSize};
use crate::context::Context;
use crate::discovery::mount_table::MountTable;
use crate::discovery::{Discovery, Look, Rules};
use crate::drivers::docker::Engine;
use crate::drivers::kopia::made::Made;
use crate::drivers::kopia::{Kopia, Manifest};
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result, exit_of, hints_of, render};
use crate::hooks::{Series, Told};
use crate::model::point::IdWorld;
use crate::model::report::{BundleReport, Outcome, RunReport, UnitReport};
use crate::model::{BackupId, UnitKind, UnitName};
use crate::notify::Masks;
use crate::points::point::{Point, PointState, Tool, complete_roots, points};
use crate::points::recipe;
use crate::points::whose::Whose;
use crate::quiesce::Down;
use crate::recovery::bring_up;
use crate::reports::drills::Drills;
use crate::reports::history::History;
use crate::reports::metrics;
use crate::reports::past;
use crate::repository::password;
use crate::repository::{Repository, Site};

/// What all units of a run share.
pub struct Run<'a> {
    pub config: &'a Config,
    pub rules: Rules,
    pub paths: &'a Paths,
    pub shutdown: &'a Shutdown,
    pub reporter: Reporter,
    pub engine: Engine,
    pub tar: Tar,
    pub store: Store,
    /// How the engine maps ids.
    pub ids: IdWorld,
    pub workers: usize,
    pub backup_id: BackupId,
    started_at: DateTime<Utc>,
    budget: Budget,
    /// How many spools there may be.
    pub places: Arc<Semaphore>,
    /// For the rotating disks.
    pub turns: Turns,
    spool_folder: Option<PathBuf>,
    /// The units whose losses the operator agrees to.
    accepted: Vec<UnitName>,
    /// Out of what programs say.
    pub masks: Masks,
    /// Whatever the configuration says.
    pub reads_everything: bool,
    /// What the reports tell, once somebody asks.
    history: OnceCell<History>,
    /// All units of this host.
    pub present: Vec<UnitName>,
    /// The points of the repository, listed once and only when this host does not remember a unit.
    listing: OnceCell<Listing>,
}

/// What the repository has.
struct Listing {
    points: Vec<Point>,
    /// Objects that the recipe of a point of this machine names, and that are there.
    named: HashSet<String>,
}

impl Listing {
    fn of(manifests: &[Manifest]) -> Self {
        let whole = complete_roots(manifests);
        let named = manifests.iter().filter_map(Manifest::roots).flatten();
        Self {
            points: points(manifests),
            named: named
                .filter(|root| whole.contains(root))
                .map(str::to_owned)
                .collect(),
        }
    }
}

impl Run<'_> {
    /// Whether the spools can take so much now; `None` is as much as they ever can.
    pub fn has_room_for(&self, bytes: Option<u64>) -> bool {
        self.budget.has_room_for(bytes)
    }

    pub fn spool(&self) -> Result<Spool> {
        Spool::new(self.spool_folder.as_deref(), self.budget.clone())
    }

    pub fn filing(&self, unit: &UnitName, kind: UnitKind) -> Filing {
        Filing {
            profile: self.config.profile().to_owned(),
            machine: self.store.kopia.me().machine.clone(),
            unit: unit.clone(),
            kind,
            backup_id: self.backup_id,
            timestamp: self.started_at,
        }
    }

    fn acceptance(&self, unit: &UnitName) -> Acceptance {
        if self.accepted.contains(unit) {
            Acceptance::Yes
        } else {
            Acceptance::No
        }
    }

    /// What the last whole point of `unit` held, from the state directory or else from the point itself; and a warning when that
    /// cannot be told.
    async fn recall(&self, unit: &UnitName, kind: UnitKind) -> (Recalled, Option<String>) {
        let known = Recalled::read(self.paths, self.config.profile(), unit);
        let known = known.filter(|known| known.is_of(kind));
        if let Some(known) = &known
            && known.last.is_some()
        {
            return (known.clone(), None);
        }
        let mut recalled = known.unwrap_or_default();
        match self.recall_from_repository(unit, kind).await {
            Ok(Some(last)) => {
                // What was agreed to since is known here alone.
                recalled.last = last.last;
                if recalled.agreed.is_empty() {
                    recalled.agreed = last.agreed;
                }
                (recalled, None)
            }
            Ok(None) => (recalled, None),
            Err(error) => (
                recalled,
                Some(format!(
                    "what the last restore point held could not be read, so nothing is compared with it: {error:#}"
                )),
            ),
        }
    }

    async fn listing(&self) -> Result<&Listing> {
        let kopia = &self.store.kopia;
        let list = async { Ok(Listing::of(&kopia.list_without_gaps().await?)) };
        self.listing.get_or_try_init(|| list).await
    }

    pub async fn history(&self) -> &History {
        let load = || async {
            let folder = past::folder(self.config);
            let loaded = aside(move || Ok(History::load(&folder))).await;
            loaded.unwrap_or_default()
        };
        self.history.get_or_init(load).await
    }

    pub fn series(&self) -> Series<'_> {
        Series {
            engine: Some(&self.engine),
            masks: &self.masks,
            shutdown: self.shutdown,
        }
    }

    /// Whether the repository has all of `parts`, and some point needs each.
    pub async fn has_parts(&self, parts: &[IndexedPart]) -> Result<bool> {
        let named = &self.listing().await?.named;
        let mut streams = parts.iter().flat_map(|part| &part.streams);
        Ok(streams.all(|stream| named.contains(stream.root.as_str())))
    }

    async fn recall_from_repository(
        &self,
        unit: &UnitName,
        kind: UnitKind,
    ) -> Result<Option<Recalled>> {
        let kopia = &self.store.kopia;
        let points = &self.listing().await?.points;
        let under_way = self.backup_id.into();
        let whose = Whose::of(points, kopia.me(), Some(&under_way));
        let last = points.iter().find(|point| {
            point.unit == *unit
                && point.state == PointState::Whole
                && point.made_by == Tool::KopiDocka
                && point.kind.is_none_or(|known| known == kind)
                && whose.is_own(point)
        });
        let Some(last) = last else {
            return Ok(None);
        };
        let (_, record) = recipe::read(kopia, last).await?;
        Ok(Some(Recalled::of(&record)).filter(|recalled| recalled.is_of(kind)))
    }
}

/// What the operator asked for.
#[derive(Clone, Copy, Default)]
pub struct Asked<'a> {
    /// All that are enabled when it is empty.
    pub units: &'a [UnitName],
    /// Those whose losses are agreed to.
    pub accepted: &'a [UnitName],
    /// Nothing is taken from the points before.
    pub reads_everything: bool,
    /// A recovery bundle, also where the configuration wants none.
    pub update_recovery: bool,
}

/// Backs up what was asked for; monitors get the result. No other run is at work, as `lock` says.
pub async fn run(cx: &Context, loaded: Loaded, lock: Lock, asked: Asked<'_>) -> Result<RunReport> {
    let started_at = Utc::now();
    let config = loaded.config.clone();
    let ran = save_units(cx, loaded, lock, asked).await;
    if let Err(error) = &ran {
        let exit_code = exit_of(error).code();
        Box::pin(around::failed(&cx.ui, &config, &cx.shutdown, exit_code)).await;
    }
    let (report, present, exit_code) = match &ran {
        Ok((report, present)) => (Some(report), Some(present.as_slice()), report.exit_code),
        Err(error) => (None, None, exit_of(error).code()),
    };
    let told = metrics::Ran {
        started_at,
        exit_code,
        report,
        present,
        drills: &Drills::load(&cx.paths.drills()),
    };
    if let Err(error) = metrics::write(&config, &told) {
        cx.ui.warn(format!(
            "`metrics.textfile` could not be written: {error:#}"
        ));
    }
    ran.map(|(report, _)| report)
}

/// With the names of all units of this host.
async fn save_units(
    cx: &Context,
    loaded: Loaded,
    lock: Lock,
    asked: Asked<'_>,
) -> Result<(RunReport, Vec<UnitName>)> {
    work::remove_stale(&cx.paths.runtime)?;
    let down = bring_up(cx).await?;
    // Nothing else says it when the run comes to its end before its report is written.
    save_what_is_up(cx, loaded, lock, asked, &down)
        .await
        .map_err(|error| match down.first() {
            Some(first) => first.failure().caused_by(error).into(),
            None => error,
        })
}

async fn save_what_is_up(
    cx: &Context,
    loaded: Loaded,
    lock: Lock,
    asked: Asked<'_>,
    down: &[Down],
) -> Result<(RunReport, Vec<UnitName>)> {
    let loaded = password::settle(cx, Some(&lock), loaded).await?.loaded;
    let config = &loaded.config;

    let repository = Repository::of(cx, config)?;
    let kopia = repository.kopia.clone();
    let mut proof = Proof::begin(repository, &cx.shutdown)?;
    let rules = Rules::of(config, &cx.paths);
    let look = async {
        let engine = Engine::connect(&config.docker.socket).await?;
        let look = Look::at(&engine, &rules).await?;
        Ok((engine, look))
    };
    // All of them only ask, and none needs the others.
    let questions = proof.beside(async { tokio::try_join!(Tar::find(), look) });
    let (tar, (engine, mut look)) = cx.shutdown.cut("the run", questions).await??;
    let usable = proof.begin_of_use();
    cx.shutdown.cut("the run", usable).await?;
    info!("Docker {}, API {}", engine.version(), engine.api());
    let host = &look.discovery;
    let present: Vec<UnitName> = host.units.iter().map(|unit| unit.name.clone()).collect();
    let mut chosen = chosen(cx, host, asked.units)?;
    check_accepted(asked.accepted, &chosen)?;
    chosen.retain(|name| !down.iter().any(|down| down.unit == *name));

    let mut run = start(cx, config, rules, engine, tar, &kopia).await?;
    run.accepted = asked.accepted.to_vec();
    run.reads_everything = asked.reads_everything;
    run.present.clone_from(&present);
    run.ids.clone_from(&host.ids);
    let span = info_span!("run", run = %run.backup_id);
    let around = Box::pin(Around::begin(&run).instrument(span.clone())).await?;
    let ran = async {
        let mut reports = save_all(&run, &chosen, &mut look, proof).await?;
        reports.extend(down.iter().map(|down| left_down(&run, down)));
        let after = tidy_up(&run, &reports).await;
        let bundle = if asked.update_recovery || config.backup.update_recovery_bundle {
            renew_bundle(cx, &run, &loaded, &reports).await
        } else {
            None
        };
        Ok::<_, anyhow::Error>((reports, after, bundle))
    }
    .instrument(span)
    .await;
    let (reports, after, bundle) = match ran {
        Ok(ran) => ran,
        Err(error) => {
            Box::pin(around.give_up(&run)).await;
            return Err(error);
        }
    };
    let mut report = finish(&run, reports, after, bundle, look.took);
    let mut written = write_report(&run, &report);
    let mut told = Told::of_run(run.backup_id);
    told.report = written.is_ok().then(|| past::path(config, run.backup_id));
    if Box::pin(around.end(&run, told, &mut report)).await && written.is_ok() {
        written = write_report(&run, &report);
    }
    if let Err(error) = written {
        // The result of the units matters more than the failure to write it.
        cx.ui.error(&render(&error));
        if report.exit_code == 0 {
            report.exit_code = Exit::Unexpected.code();
        }
    }
    run.reporter.report(&Event::RunFinished { report: &report });
    Ok((report, present))
}

/// The named units, or all that are meant to be backed up.
fn chosen(cx: &Context, host: &Discovery, names: &[UnitName]) -> Result<Vec<UnitName>> {
    let chosen = choose(host.units.clone(), names)?;
    for left in chosen.left_out.iter().filter(|left| !left.on_purpose) {
        cx.ui.warn(format!(
            "unit `{}` is not backed up: {}",
            left.unit, left.reason
        ));
    }
    Ok(chosen.units.into_iter().map(|unit| unit.name).collect())
}

/// An agreement about a unit that is not saved would be lost without a word.
fn check_accepted(accepted: &[UnitName], chosen: &[UnitName]) -> Result<()> {
    match accepted.iter().find(|unit| !chosen.contains(unit)) {
        None => Ok(()),
        Some(unit) => Err(Failure::new(
            Exit::NothingMatched,
            format!("`--accept-loss {unit}`: this run does not save a unit of that name"),
        )
        .hint("see the names with `kopi-docka list --units`; with `--unit` name it there too")
        .into()),
    }
}

async fn start<'a>(
    cx: &'a Context,
    config: &'a Config,
    rules: Rules,
    engine: Engine,
    tar: Tar,
    kopia: &Kopia,
) -> Result<Run<'a>> {
    let started_at = free_second(config).await;
    Made::note(&cx.paths, &BackupId::at(started_at).into())?;
    let memory = Memory::of_this_host();
    let workers = config.workers(memory);
    let spool = &config.backup.spool;
    let floor = if spool.size == SpoolSize::Bytes(0) {
        None
    } else {
        make_private_folder(&spool.directory)?;
        let floor = Floor::of(&spool.directory);
        let path = spool.directory.display();
        Some(floor.with_context(|| format!("the free space of `{path}` cannot be read"))?)
    };
    let limit = match (&spool.size, &floor) {
        (SpoolSize::Bytes(bytes), _) => *bytes,
        (SpoolSize::Auto, floor) => {
            let above = floor.as_ref().map_or(Ok(0), Floor::above)?;
            let is_local = is_local(config);
            automatic_limit(is_local, above, memory.available)
        }
    };
    Ok(Run {
        ids: IdWorld::default(),
        config,
        rules,
        paths: &cx.paths,
        shutdown: &cx.shutdown,
        reporter: Reporter::new(&cx.ui),
        engine,
        tar,
        store: Store {
            kopia: kopia.clone(),
            site: Site::of(&cx.paths, config),
            // As many for a unit that waits for its window as for those that are after theirs.
            slots: Arc::new(Semaphore::new(2 * workers)),
            stall: config.backup.stall_timeout,
            task: config.backup.task_timeout,
            shutdown: cx.shutdown.clone(),
        },
        workers,
        backup_id: BackupId::at(started_at),
        started_at,
        accepted: Vec::new(),
        masks: Masks::of(config),
        reads_everything: false,
        history: OnceCell::new(),
        present: Vec::new(),
        listing: OnceCell::new(),
        budget: Budget::new(limit, floor),
        places: Arc::new(Semaphore::new(descriptors::spools(workers))),
        turns: Turns::default(),
        spool_folder: (limit > 0).then(|| spool.directory.clone()),
    })
}

/// For a repository on a local disk half of the memory that is free: on a slow disk a bigger spool would compete with
/// the reading. For any other all that the disk of the spool has `above` its floor.
fn automatic_limit(is_local: bool, above: u64, available_memory: u64) -> u64 {
    if is_local {
        above.min(available_memory / 2)
    } else {
        above
    }
}

/// Whether the storage is a disk of this host. A directory on a NAS is not, and what is behind FUSE cannot be told.
fn is_local(config: &Config) -> bool {
    // By names alone: a share that does not answer must not be asked.
    config.kopia.kopia_params.local_path().is_some_and(|path| {
        let table = MountTable::read();
        table
            .of(&path)
            .is_none_or(|entry| !is_remote(&entry.fs_type))
    })
}

fn is_remote(fs_type: &str) -> bool {
    const REMOTE: [&str; 12] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ceph",
        "9p",
        "afs",
        "glusterfs",
        "virtiofs",
        "ncpfs",
        "lustre",
    ];
    REMOTE.contains(&fs_type) || fs_type == "fuse" || fs_type.starts_with("fuse.")
}

/// The start of the run; in a second that no other run has its id from.
async fn free_second(config: &Config) -> DateTime<Utc> {
    loop {
        let now = Utc::now();
        if !past::path(config, BackupId::at(now)).exists() {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Plans with what is on the host now: the units before may have taken hours.
pub async fn plan_afresh(run: &Run<'_>, name: &UnitName, look: &mut Look) -> Result<UnitPlan> {
    look.refresh(&run.engine, &run.rules, name).await?;
    let host = &look.discovery;
    let unit = host
        .units
        .iter()
        .find(|unit| unit.name == *name)
        .cloned()
        .ok_or_else(|| anyhow::anyhow!("it is gone from this host since the run began"))?;
    let mut plan = plan_unit(unit, host, run.config, &run.rules).await?;
    let (recalled, warning) = run.recall(name, plan.unit.kind).await;
    plan.warnings.extend(warning);
    let limit = run.config.unit(name.as_str()).shrink_limit;
    memory::look_back(&mut plan, recalled, limit, run.acceptance(name)).await;
    Ok(plan)
}

/// For a unit of which nothing more is known.
pub fn of_error(name: &UnitName, error: &anyhow::Error) -> UnitReport {
    UnitReport {
        hints: hints_of(error),
        ..not_tried(
            name,
            Outcome::Failed,
            error.chain().map(ToString::to_string).collect(),
        )
    }
}

pub fn not_tried(unit: &UnitName, outcome: Outcome, errors: Vec<String>) -> UnitReport {
    UnitReport {
        unit: unit.clone(),
        outcome,
        grade: None,
        downtime_seconds: 0.0,
        expected_downtime_seconds: None,
        steps: Vec::new(),
        sources: Vec::new(),
        hooks: Vec::new(),
        gaps: Vec::new(),
        warnings: Vec::new(),
        errors,
        losses: Vec::new(),
        hints: Vec::new(),
        still_stopped: Vec::new(),
    }
}

/// A unit that an earlier run left down and that does not come up: it is not touched, and the others are saved.
fn left_down(run: &Run<'_>, down: &Down) -> UnitReport {
    let failure = anyhow::Error::from(down.failure());
    let mut report = not_tried(
        &down.unit,
        Outcome::Failed,
        vec!["it was not backed up, since an earlier run left it down".to_owned()],
    );
    for (name, reason) in &down.still_stopped {
        report
            .errors
            .push(format!("container `{name}` does not start: {reason}"));
        report.still_stopped.push(name.clone());
    }
    report.hints = hints_of(&failure);
    run.reporter
        .report(&Event::UnitFinished { report: &report });
    report
}

fn finish(
    run: &Run<'_>,
    units: Vec<UnitReport>,
    after: After,
    recovery_bundle: Option<BundleReport>,
    looked: Duration,
) -> RunReport {
    let has_bundle = |bundle: &BundleReport| bundle.errors.is_empty();
    let is_interrupted = run.shutdown.is_asked();
    let exit_code = if units.iter().any(|unit| !unit.still_stopped.is_empty()) {
        Exit::StillStopped.code()
    } else if is_interrupted {
        run.shutdown.exit().code()
    } else if units.iter().any(|unit| !unit.is_good())
        || !recovery_bundle.as_ref().is_none_or(has_bundle)
    {
        Exit::UnitsFailed.code()
    } else {
        0
    };
    RunReport {
        format: 1,
        kopi_docka_version: env!("CARGO_PKG_VERSION").to_owned(),
        backup_id: run.backup_id,
        started_at: run.started_at,
        finished_at: Utc::now(),
        exit_code,
        units,
        discovery_seconds: looked.as_secs_f64(),
        spool_peak_bytes: run.budget.peak(),
        retention: after.retention,
        maintenance: after.maintenance,
        hooks: Vec::new(),
        recovery_bundle,
        warnings: after.warnings,
        interrupted: is_interrupted.then(|| "a signal ended the run".to_owned()),
    }
}

fn write_report(run: &Run<'_>, report: &RunReport) -> Result<()> {
    let path = past::path(run.config, report.backup_id);
    crate::base::files::write(&path, &serde_json::to_vec_pretty(report)?)
        .context("the report of the run cannot be written")?;
    past::prune(&past::folder(run.config), report, Utc::now())
        .context("old reports of runs cannot be removed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_a_network_or_fuse_gets_the_disk_and_not_the_memory() {
        assert!(is_remote("nfs4") && is_remote("cifs") && is_remote("fuse.sshfs"));
        assert!(!is_remote("ext4") && !is_remote("fuseblk") && !is_remote("zfs"));
        assert_eq!(automatic_limit(true, 100, 60), 30);
        assert_eq!(automatic_limit(false, 100, 60), 100);
    }
}
