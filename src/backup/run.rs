//! A run, in order: lock, recover, open the repository, discover, plan; then unit after unit; then retention,
//! maintenance and the report.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;
use tracing::{Instrument as _, info, info_span};

use super::after::{After, tidy_up};
use super::choose::choose;
use super::events::Event;
use super::plan::UnitPlan;
use super::reporter::Reporter;
use super::spool::{Budget, Spool};
use super::store::Store;
use super::survey::plan_unit;
use super::tags::Filing;
use super::tar::Tar;
use super::unit;
use crate::config::{Config, Loaded, SpoolSize};
use crate::context::{Context, Paths};
use crate::discovery::{self, Discovery, Rules};
use crate::docker::Engine;
use crate::error::{Exit, Failure, Result, exit_of, hints_of, render};
use crate::kopia::{Kopia, Status};
use crate::lock::{Lock, make_private_folder};
use crate::memory::Memory;
use crate::metrics;
use crate::model::report::{Outcome, RunReport, UnitReport};
use crate::model::{BackupId, UnitKind, UnitName};
use crate::password;
use crate::quiesce::replay;
use crate::reports;
use crate::repository::Repository;
use crate::restore;
use crate::shutdown::Shutdown;

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

    /// A folder that only we can see, on a file system that a reboot empties: it holds secrets.
    pub fn work_folder(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(&self.paths.runtime)
            .with_context(|| {
                format!(
                    "no work folder can be made in `{}`",
                    self.paths.runtime.display()
                )
            })
    }
}

/// Of folders that hold secrets while they are needed.
pub const WORK_PREFIX: &str = "work-";

/// Backs up `units`, or all that are enabled when it is empty; whatever comes of it, monitors learn it. Nobody else is at work, as
/// `lock` says.
pub async fn run(
    cx: &Context,
    loaded: Loaded,
    lock: Lock,
    units: &[UnitName],
) -> Result<RunReport> {
    let started_at = Utc::now();
    let config = loaded.config.clone();
    let ran = save_units(cx, loaded, lock, units).await;
    let (report, present, exit_code) = match &ran {
        Ok((report, present)) => (Some(report), Some(present.as_slice()), report.exit_code),
        Err(error) => (None, None, exit_of(error).code()),
    };
    let told = metrics::Ran {
        started_at,
        exit_code,
        report,
        present,
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
    units: &[UnitName],
) -> Result<(RunReport, Vec<UnitName>)> {
    remove_stale_work(&cx.paths)?;
    bring_up_what_is_down(cx).await?;
    let loaded = password::settle(cx, Some(&lock), loaded).await?.loaded;
    let config = &loaded.config;

    let repository = Repository::of(cx, config)?;
    let rules = Rules::of(config, &cx.paths);
    let look = async {
        let engine = Engine::connect(&config.docker.socket).await?;
        let host = discovery::discover(&engine, &rules).await?;
        Ok((engine, host))
    };
    // All of them only ask, and none needs the others.
    let (tar, status, (engine, host)) = tokio::try_join!(Tar::find(), repository.open(), look)?;
    info!("Docker {}, API {}", engine.version(), engine.api());
    let present = host.units.iter().map(|unit| unit.name.clone()).collect();
    let chosen = chosen(cx, &host, units)?;
    repository.settle(&status).await?;

    let run = start(cx, config, rules, engine, tar, &repository.kopia, &status).await?;
    let span = info_span!("run", run = %run.backup_id);
    let (reports, after) = async {
        let reports = save_all(&run, &chosen, host).await;
        let after = tidy_up(&run, &reports).await;
        (reports, after)
    }
    .instrument(span)
    .await;
    let mut report = finish(&run, reports, after);
    if let Err(error) = write_report(&run, &report) {
        // What happened to the units is more than that nobody wrote it down.
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

async fn start<'a>(
    cx: &'a Context,
    config: &'a Config,
    rules: Rules,
    engine: Engine,
    tar: Tar,
    kopia: &Kopia,
    status: &Status,
) -> Result<Run<'a>> {
    let started_at = free_second(config).await;
    let memory = Memory::of_this_host();
    let workers = memory.workers(config);
    let spool = &config.backup.spool;
    let limit = match spool.size {
        SpoolSize::Bytes(bytes) => bytes,
        SpoolSize::Auto => {
            make_private_folder(&spool.directory)?;
            automatic_limit(status, &spool.directory, memory.available)?
        }
    };
    if limit > 0 {
        make_private_folder(&spool.directory)?;
    }
    Ok(Run {
        config,
        rules,
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
fn automatic_limit(
    status: &Status,
    folder: &std::path::Path,
    available_memory: u64,
) -> Result<u64> {
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("`{}` can't be looked at", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) / 10 * 9;
    Ok(if status.storage.kind == "filesystem" {
        free.min(available_memory / 2)
    } else {
        free
    })
}

/// The start of the run; in a second that no other run has its id from.
async fn free_second(config: &Config) -> DateTime<Utc> {
    loop {
        let now = Utc::now();
        if !reports::path(config, BackupId::at(now)).exists() {
            return now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Unit after unit; one that fails does not keep the next from being saved.
async fn save_all(run: &Run<'_>, chosen: &[UnitName], host: Discovery) -> Vec<UnitReport> {
    run.reporter.report(&Event::RunStarted {
        backup_id: run.backup_id,
        units: chosen,
        orphan_volumes: &host.orphan_volumes,
    });
    let mut host = Some(host);
    let mut reports = Vec::new();
    for (index, name) in chosen.iter().enumerate() {
        if run.shutdown.is_asked() {
            reports.push(not_tried(name, Outcome::Skipped, Vec::new()));
            continue;
        }
        run.reporter.report(&Event::UnitStarted {
            unit: name,
            number: index + 1,
            of: chosen.len(),
        });
        let saving = save(run, name, host.take());
        reports.push(saving.instrument(info_span!("unit", unit = %name)).await);
    }
    reports
}

async fn save(run: &Run<'_>, name: &UnitName, fresh: Option<Discovery>) -> UnitReport {
    let report = match plan_afresh(run, name, fresh).await {
        Ok(plan) => unit::save(run, plan).await,
        Err(error) => UnitReport {
            hints: hints_of(&error),
            ..not_tried(
                name,
                Outcome::Failed,
                error.chain().map(ToString::to_string).collect(),
            )
        },
    };
    run.reporter
        .report(&Event::UnitFinished { report: &report });
    report
}

/// Plans with what is on the host now: the unit before may have taken hours.
async fn plan_afresh(run: &Run<'_>, name: &UnitName, fresh: Option<Discovery>) -> Result<UnitPlan> {
    let host = match fresh {
        Some(host) => host,
        None => discovery::discover(&run.engine, &run.rules).await?,
    };
    let unit = host
        .units
        .iter()
        .find(|unit| unit.name == *name)
        .cloned()
        .ok_or_else(|| anyhow::anyhow!("it is gone from this host since the run began"))?;
    plan_unit(unit, &host, run.config, &run.rules).await
}

fn not_tried(unit: &UnitName, outcome: Outcome, errors: Vec<String>) -> UnitReport {
    UnitReport {
        unit: unit.clone(),
        outcome,
        grade: None,
        downtime_seconds: 0.0,
        steps: Vec::new(),
        sources: Vec::new(),
        gaps: Vec::new(),
        warnings: Vec::new(),
        errors,
        hints: Vec::new(),
        still_stopped: Vec::new(),
    }
}

fn finish(run: &Run<'_>, units: Vec<UnitReport>, after: After) -> RunReport {
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
        retention: after.retention,
        maintenance: after.maintenance,
        warnings: after.warnings,
        interrupted: is_interrupted.then(|| "a signal ended the run".to_owned()),
    }
}

fn write_report(run: &Run<'_>, report: &RunReport) -> Result<()> {
    let path = reports::path(run.config, report.backup_id);
    crate::state::write(&path, &serde_json::to_vec_pretty(report)?)
        .context("the report of the run can't be written")
}

/// What an earlier run left stopped comes up before anything else; what can't be started is the operator's to see first.
pub async fn bring_up_what_is_down(cx: &Context) -> Result<()> {
    // First, so that nothing is started on data that is half restored.
    let settled = restore::replay::replay(&cx.paths.restore_journals(), &cx.ui).await?;
    for warning in &settled.warnings {
        cx.ui.warn(warning);
    }
    let replayed = replay::replay(&cx.paths.stop_records(), &cx.ui, &cx.shutdown).await?;
    for warning in &replayed.started.warnings {
        cx.ui.warn(warning);
    }
    if let Some((name, reason)) = replayed.started.still_stopped.first() {
        return Err(Failure::new(
            Exit::StillStopped,
            format!("container `{name}`, which an earlier run stopped, does not start: {reason}"),
        )
        .hint(format!(
            "see `docker logs {name}`, mend it, then run `kopi-docka recover`"
        ))
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
