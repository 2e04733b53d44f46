//! A run, in order: lock, recover, open the repository, discover, plan; then unit after unit; then the report.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;

use super::events::{Event, Reporter};
use super::plan::{self, UnitPlan};
use super::spool::{Budget, Spool};
use super::store::Store;
use super::tags::Filing;
use super::tar::Tar;
use super::unit;
use crate::config::{Config, SpoolSize};
use crate::context::{Context, Paths};
use crate::discovery::{self, Discovery};
use crate::docker::Engine;
use crate::error::{Exit, Failure, Result};
use crate::kopia::{Kopia, Status};
use crate::lock::{Lock, make_private_folder};
use crate::model::report::{Outcome, RunReport, UnitReport};
use crate::model::{BackupId, UnitName};
use crate::quiesce::replay;
use crate::repository::{self, Repository};
use crate::shutdown::Shutdown;

/// What all units of a run share.
pub struct Run<'a> {
    pub config: &'a Config,
    pub paths: &'a Paths,
    pub shutdown: &'a Shutdown,
    pub reporter: Reporter,
    pub engine: Engine,
    pub tar: Tar,
    pub store: Store,
    pub workers: usize,
    pub backup_id: BackupId,
    started_at: DateTime<Utc>,
    budget: Budget,
    spool_folder: Option<PathBuf>,
}

impl Run<'_> {
    pub fn spool(&self) -> Result<Spool> {
        Spool::new(self.spool_folder.as_deref(), self.budget.clone())
    }

    pub fn filing(&self, unit: &UnitName) -> Filing {
        Filing {
            profile: self.config.profile().to_owned(),
            unit: unit.clone(),
            backup_id: self.backup_id,
            timestamp: self.started_at,
        }
    }

    /// A folder that only we can see, on a file system that a reboot empties: it holds secrets.
    pub fn work_folder(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(&self.paths.runtime)
            .with_context(|| format!("no work folder can be made in `{}`", self.paths.runtime.display()))
    }
}

const WORK_PREFIX: &str = "work-";

/// Backs up `units`, or all that are enabled when it is empty.
pub async fn run(cx: &Context, units: &[UnitName]) -> Result<RunReport> {
    let loaded = cx.config()?;
    let config = &loaded.config;
    let _lock = Lock::take(&cx.paths.runtime, "backup")?;
    remove_stale_work(&cx.paths)?;
    bring_up_what_is_down(cx).await?;

    let tar = Tar::find().await?;
    let repository = Repository::of(cx, config).await?;
    let engine = Engine::connect(&config.docker.socket).await?;
    // Both only ask, and neither needs the other.
    let (status, host) = tokio::try_join!(
        repository.open(),
        discovery::discover(&engine, repository::rules(cx, config))
    )?;
    let chosen = discovery::select(&host, units)?;
    repository.kopia.refresh_policy(&repository.identity).await?;

    let mut run = start(cx, config, engine, tar, &repository.kopia, &status)?;
    let plans = chosen
        .iter()
        .map(|unit| {
            let settings = config.unit(unit.name.as_str());
            let stop_timeout = settings.stop_timeout.as_secs().cast_signed();
            plan::plan(unit, &host, config.backup.shared_volumes, stop_timeout)
        })
        .collect();
    let reports = save_all(&mut run, plans, &host).await;
    let report = finish(&run, reports);
    write_report(&run, &report)?;
    run.reporter.report(&Event::RunFinished { report: &report });
    Ok(report)
}

fn start<'a>(
    cx: &'a Context,
    config: &'a Config,
    engine: Engine,
    tar: Tar,
    kopia: &Kopia,
    status: &Status,
) -> Result<Run<'a>> {
    let started_at = Utc::now();
    let system = sysinfo::System::new_with_specifics(
        sysinfo::RefreshKind::nothing().with_memory(sysinfo::MemoryRefreshKind::nothing().with_ram()),
    );
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = config.backup.parallel_workers.resolve(system.total_memory(), cpus);
    let spool = &config.backup.spool;
    let limit = match spool.size {
        SpoolSize::Bytes(bytes) => bytes,
        SpoolSize::Auto => {
            make_private_folder(&spool.directory)?;
            automatic_limit(status, &spool.directory, system.available_memory())?
        }
    };
    if limit > 0 {
        make_private_folder(&spool.directory)?;
    }
    Ok(Run {
        config,
        paths: &cx.paths,
        shutdown: &cx.shutdown,
        reporter: Reporter::new(&cx.ui),
        engine,
        tar,
        store: Store {
            kopia: kopia.clone(),
            slots: Arc::new(Semaphore::new(workers)),
            stall: config.backup.stall_timeout,
            shutdown: cx.shutdown.clone(),
        },
        workers,
        backup_id: BackupId::at(started_at),
        started_at,
        budget: Budget::new(limit),
        spool_folder: (limit > 0).then(|| spool.directory.clone()),
    })
}

/// For a repository on a local disk half of the memory that is free: on a slow disk a bigger spool would compete with
/// the reading. For any other what the disk of the spool has free, less a tenth.
fn automatic_limit(status: &Status, folder: &std::path::Path, available_memory: u64) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder).with_context(|| format!("`{}` can't be looked at", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) / 10 * 9;
    Ok(if status.storage.kind == "filesystem" {
        free.min(available_memory / 2)
    } else {
        free
    })
}

async fn save_all(run: &mut Run<'_>, plans: Vec<UnitPlan>, host: &Discovery) -> Vec<UnitReport> {
    run.reporter.report(&Event::RunStarted {
        backup_id: run.backup_id,
        units: plans.iter().map(|plan| &plan.unit.name).collect(),
        orphan_volumes: &host.orphan_volumes,
    });
    let of = plans.len();
    let mut reports = Vec::new();
    for (index, plan) in plans.into_iter().enumerate() {
        if run.shutdown.is_asked() {
            reports.push(skipped(plan.unit.name));
            continue;
        }
        run.reporter.report(&Event::UnitStarted {
            unit: &plan.unit.name,
            number: index + 1,
            of,
        });
        let report = unit::save(run, plan).await;
        run.reporter.report(&Event::UnitFinished { report: &report });
        reports.push(report);
    }
    reports
}

fn skipped(unit: UnitName) -> UnitReport {
    UnitReport {
        unit,
        outcome: Outcome::Skipped,
        grade: None,
        downtime_seconds: 0.0,
        steps: Vec::new(),
        sources: Vec::new(),
        gaps: Vec::new(),
        warnings: Vec::new(),
        errors: Vec::new(),
        still_stopped: Vec::new(),
    }
}

fn finish(run: &Run<'_>, units: Vec<UnitReport>) -> RunReport {
    let is_interrupted = run.shutdown.is_asked();
    let exit_code = if units.iter().any(|unit| !unit.still_stopped.is_empty()) {
        Exit::StillStopped.code()
    } else if is_interrupted {
        run.shutdown.exit().code()
    } else if units.iter().any(|unit| !unit.is_good()) {
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
        spool_peak_bytes: run.budget.peak(),
        interrupted: is_interrupted.then(|| "a signal ended the run".to_owned()),
    }
}

fn write_report(run: &Run<'_>, report: &RunReport) -> Result<()> {
    let path = run
        .config
        .backup
        .base_path
        .join("metadata")
        .join(format!("{}.json", report.backup_id));
    crate::state::write(&path, &serde_json::to_vec_pretty(report)?).context("the report of the run can't be written")
}

/// What an earlier run left stopped comes up before anything else; what can't be started is the operator's to see first.
pub async fn bring_up_what_is_down(cx: &Context) -> Result<()> {
    let replayed = replay::replay(&cx.paths.stop_records(), &cx.ui).await?;
    for warning in &replayed.started.warnings {
        cx.ui.warn(warning);
    }
    if let Some((name, reason)) = replayed.started.still_stopped.first() {
        return Err(Failure::new(
            Exit::StillStopped,
            format!("container `{name}`, which an earlier run stopped, does not start: {reason}"),
        )
        .hint(format!("see `docker logs {name}`, mend it, then run `kopi-docka recover`"))
        .into());
    }
    Ok(())
}

/// Folders of runs that were killed; the lock says that nobody uses them.
pub fn remove_stale_work(paths: &Paths) -> Result<()> {
    for entry in std::fs::read_dir(&paths.runtime).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("`{}` can't be removed", entry.path().display()))?;
        }
    }
    Ok(())
}
