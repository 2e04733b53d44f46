//! A verify, in order: open the repository, choose the points, read their recipes, choose the sources, read those.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::Utc;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};

use super::choose::{Request, choose};
use super::read::Reader;
use super::record::Memory;
use super::report::{PointReport, PointResult, SourceReport, SourceResult, VerifyReport};
use super::reporter::Reporter;
use super::seen::Seen;
use super::share::share;
use super::verdict::{Verdict, verdict};
use crate::base::lock::Lock;
use crate::base::memory;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::kopia::{Kopia, Manifest, Status};
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::model::point::{PointRecord, SourceRecord};
use crate::points::feed::{Cancelled, Feed};
use crate::points::point::{Point, complete_roots, points};
use crate::repository::Repository;

/// What was found, and why it ended early if it did.
pub struct Verified {
    pub report: VerifyReport,
    pub ended: Option<anyhow::Error>,
}

struct Verify<'a> {
    cx: &'a Context,
    repository: &'a Repository,
    reader: Reader<'a>,
    reporter: Reporter,
    slots: Semaphore,
    /// The root objects that the repository has whole.
    complete: HashSet<&'a str>,
    memory: RefCell<Option<Memory>>,
    cancel: watch::Sender<bool>,
    /// What keeps the rest from being read.
    ended: RefCell<Option<anyhow::Error>>,
}

/// Why something was not read back.
enum Trouble {
    Damaged(anyhow::Error),
    Unread(anyhow::Error),
    Deleted,
    Ended,
}

/// A verify that has begun.
pub struct Begun {
    _lock: Lock,
    pub config: Config,
    pub repository: Repository,
    pub tar: Tar,
    pub status: Status,
    /// Every snapshot of the repository.
    pub manifests: Vec<Manifest>,
}

/// Takes the lock and opens the repository.
pub async fn begin(cx: &Context) -> Result<Begun> {
    let config = cx.config()?.config;
    let lock = Lock::take_to_verify(&cx.paths.runtime)?;
    let repository = Repository::of(cx, &config)?;
    let open = async {
        let (tar, status) = tokio::try_join!(Tar::find(), repository.open())?;
        Ok::<_, anyhow::Error>((tar, status, repository.kopia.list().await?))
    };
    let (tar, status, manifests) = tokio::select! {
        biased;
        () = cx.shutdown.asked() => {
            return Err(Failure::new(cx.shutdown.exit(), "a signal ended the verify").into());
        }
        opened = open => opened?,
    };
    Ok(Begun {
        _lock: lock,
        config,
        repository,
        tar,
        status,
        manifests,
    })
}

/// What brings streams by `kopia`, and what ends them all.
pub fn feed(cx: &Context, config: &Config, kopia: &Kopia) -> (Feed, watch::Sender<bool>) {
    let (cancel, is_cancelled) = watch::channel(false);
    let feed = Feed {
        kopia: kopia.clone(),
        stall: config.backup.stall_timeout,
        shutdown: cx.shutdown.clone(),
        is_cancelled,
        ahead: Arc::default(),
        what: "verify",
    };
    (feed, cancel)
}

/// Reads back what `request` means.
pub async fn run(cx: &Context, request: &Request) -> Result<Verified> {
    let started_at = Utc::now();
    let Begun {
        _lock,
        config,
        repository,
        tar,
        status,
        manifests,
    } = begin(cx).await?;
    let points = points(&manifests);
    let chosen = choose(&points, request, repository.kopia.me())?;
    let fresh = repository.kopia.fresh()?;
    let (feed, cancel) = feed(cx, &config, &fresh.kopia);
    let verify = Verify {
        cx,
        repository: &repository,
        reader: Reader {
            feed,
            tar,
            manifests: &manifests,
            seen: Seen::default(),
        },
        reporter: Reporter::new(&cx.ui, repository.kopia.identity()),
        slots: Semaphore::new(config.workers(memory::Memory::of_this_host())),
        complete: complete_roots(&manifests),
        memory: RefCell::new(remembered(cx, &status.unique_id, &points)),
        cancel,
        ended: RefCell::new(None),
    };
    for warning in &chosen.warnings {
        cx.ui.warn(warning);
    }
    verify.reporter.started(&chosen.points, request.percent);
    let reports = verify.read_all(&chosen.points, request.percent).await;
    let ended = verify.ended.take();
    Ok(Verified {
        report: VerifyReport {
            started_at,
            finished_at: Utc::now(),
            files_percent: request.percent,
            bytes: reports.iter().map(|point| point.bytes).sum(),
            read_bytes: reports.iter().map(|point| point.read_bytes).sum(),
            exit_code: exit_code(&reports, ended.as_ref()),
            points: reports,
            warnings: chosen.warnings,
            interrupted: ended.as_ref().map(|error| format!("{error:#}")),
        },
        ended,
    })
}

/// What earlier ones found, without what is gone. Never worth a failure.
fn remembered(cx: &Context, repository: &str, points: &[Point]) -> Option<Memory> {
    let load = || -> Result<Memory> {
        let mut memory = Memory::load(&cx.paths.verified(), repository)?;
        for path in &memory.damaged {
            cx.ui.warn(format!(
                "`{}` is damaged: what it remembered of a verified point is lost",
                path.display()
            ));
        }
        memory.tidy(points)?;
        Ok(memory)
    };
    load()
        .map_err(|error| {
            cx.ui
                .warn(format!("what is found will not be remembered: {error:#}"));
        })
        .ok()
}

fn exit_code(points: &[PointReport], ended: Option<&anyhow::Error>) -> u8 {
    let is = |result| move |point: &PointReport| point.result == result;
    if let Some(error) = ended {
        exit_of(error).code()
    } else if points.iter().any(is(PointResult::Damaged))
        || points.iter().any(is(PointResult::Unread))
    {
        Exit::UnitsFailed.code()
    } else if points.iter().all(is(PointResult::Deleted)) {
        Exit::NothingMatched.code()
    } else {
        0
    }
}

impl Verify<'_> {
    async fn read_all(&self, points: &[&Point], percent: u8) -> Vec<PointReport> {
        let recipes = points
            .iter()
            .map(|point| self.prove(point, self.reader.recipe(point)));
        let records = join_all(recipes).await;
        let sizes: Vec<u64> = records
            .iter()
            .flatten()
            .flat_map(|record| record.sources.iter().map(bytes))
            .collect();
        let mut is_chosen = share(&sizes, percent).into_iter();
        let reads = points.iter().zip(records).map(|(point, record)| {
            let count = record.as_ref().map_or(0, |record| record.sources.len());
            let is_chosen: Vec<bool> = is_chosen.by_ref().take(count).collect();
            self.read_point(point, record, is_chosen)
        });
        // The choice is made before the first is read.
        let reads: Vec<_> = reads.collect();
        join_all(reads).await
    }

    async fn read_point(
        &self,
        point: &Point,
        record: Result<PointRecord, Trouble>,
        is_chosen: Vec<bool>,
    ) -> PointReport {
        let mut report = PointReport {
            unit: point.unit.clone(),
            backup_id: point.backup_id.clone(),
            identity: point.identity.clone(),
            result: PointResult::Good,
            bytes: point.bytes,
            read_bytes: 0,
            percent: 0,
            sources: Vec::new(),
            errors: Vec::new(),
        };
        let mut failures = Vec::new();
        match record {
            Err(trouble) => {
                report.result = trouble.result();
                failures.extend(trouble.failure(point, "its recipe", self.is_own(point)));
            }
            Ok(record) => {
                let reads = record
                    .sources
                    .iter()
                    .zip(is_chosen)
                    .map(|(source, is_chosen)| self.read_source(point, &record, source, is_chosen));
                let results = join_all(reads).await;
                for (source, result) in record.sources.iter().zip(results) {
                    let result = result.unwrap_or_else(|trouble| {
                        report.result = worse(report.result, trouble.result());
                        let what = source.key.to_string();
                        let result = trouble.source_result();
                        failures.extend(trouble.failure(point, &what, self.is_own(point)));
                        result
                    });
                    report.sources.push(SourceReport {
                        key: source.key.clone(),
                        bytes: bytes(source),
                        result,
                    });
                }
                report.count();
            }
        }
        let texts = failures.iter().map(|failure| format!("{failure:#}"));
        report.errors = texts.collect();
        self.remember(point, &report);
        self.reporter.point(&report, &failures);
        report
    }

    async fn read_source(
        &self,
        point: &Point,
        record: &PointRecord,
        source: &SourceRecord,
        is_chosen: bool,
    ) -> Result<SourceResult, Trouble> {
        let is_there = |root: &str| self.complete.contains(root);
        if !source.parts.iter().all(|part| is_there(part.root.as_str())) {
            let gone = "its snapshot is gone from the repository, or not complete";
            return Err(Trouble::Damaged(anyhow::anyhow!(gone)));
        }
        if !is_chosen {
            return Ok(SourceResult::NotChosen);
        }
        let read = async {
            let moved = self.reporter.track(point, source);
            let read = self.reader.source(point, record, source, &moved).await;
            self.reporter.finished(point, source);
            read
        };
        self.prove(point, read).await.map(|()| SourceResult::Good)
    }

    /// Does `work` when there is a place, and judges what went wrong.
    async fn prove<T>(
        &self,
        point: &Point,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, Trouble> {
        // It is never closed.
        let Ok(_slot) = self.slots.acquire().await else {
            return Err(Trouble::Ended);
        };
        if *self.cancel.borrow() {
            return Err(Trouble::Ended);
        }
        let error = match work.await {
            Ok(it) => return Ok(it),
            Err(error) if error.is::<Cancelled>() => return Err(Trouble::Ended),
            Err(error) => error,
        };
        let verdict = verdict(&error);
        if verdict == Verdict::End {
            return Err(self.end(error));
        }
        let is_there = tokio::select! {
            biased;
            () = self.cx.shutdown.asked() => Err(self.reader.feed.interrupted()),
            is_there = self.is_there(point) => is_there,
        };
        match (is_there, verdict) {
            (Err(error), _) => Err(self.end(error)),
            (Ok(false), _) => Err(Trouble::Deleted),
            (Ok(true), Verdict::Damaged) => Err(Trouble::Damaged(error)),
            (Ok(true), _) => Err(Trouble::Unread(error)),
        }
    }

    /// Asks the repository, which may have gone, whether it has all of `point`: retention may be at work.
    async fn is_there(&self, point: &Point) -> Result<bool> {
        self.repository.open().await?;
        let now = points(&self.repository.kopia.list().await?);
        Ok(now.iter().any(|now| {
            now.identity == point.identity
                && now.unit == point.unit
                && now.backup_id == point.backup_id
                && now.state == point.state
                && now.recipe == point.recipe
        }))
    }

    fn end(&self, error: anyhow::Error) -> Trouble {
        self.ended.borrow_mut().get_or_insert(error);
        self.cancel.send_replace(true);
        Trouble::Ended
    }

    /// Only what says something about the point.
    fn remember(&self, point: &Point, report: &PointReport) {
        let is_good = match report.result {
            PointResult::Good => true,
            PointResult::Damaged => false,
            PointResult::Unread | PointResult::Deleted | PointResult::Unfinished => return,
        };
        if let Some(memory) = &mut *self.memory.borrow_mut()
            && let Err(error) = memory.remember(point, report.percent, is_good)
        {
            self.reporter
                .warn(&format!("what was found cannot be remembered: {error:#}"));
        }
    }

    fn is_own(&self, point: &Point) -> bool {
        point.identity == self.repository.kopia.identity()
    }
}

impl Trouble {
    fn result(&self) -> PointResult {
        match self {
            Self::Damaged(_) => PointResult::Damaged,
            Self::Unread(_) => PointResult::Unread,
            Self::Deleted => PointResult::Deleted,
            Self::Ended => PointResult::Unfinished,
        }
    }

    fn source_result(&self) -> SourceResult {
        match self {
            Self::Damaged(_) => SourceResult::Damaged,
            Self::Unread(_) | Self::Deleted | Self::Ended => SourceResult::Unread,
        }
    }

    /// As the operator reads it; `None` for what is no fault of the point.
    fn failure(self, point: &Point, what: &str, is_own: bool) -> Option<anyhow::Error> {
        let (id, unit) = (&point.backup_id, &point.unit);
        let quoted = shell_words::quote(unit.as_str()).into_owned();
        let failure = match self {
            Self::Damaged(error) => {
                let failure = Failure::new(
                    Exit::UnitsFailed,
                    format!("restore point {id} of unit `{unit}` is damaged: {what} cannot be read back"),
                )
                .caused_by(error)
                .hint(format!("take another restore point: `kopi-docka list --snapshots --unit {quoted}`"))
                .hint("check the storage of the repository (its disk, `dmesg`); copy the repository before anything in it is repaired");
                if is_own {
                    failure.hint(format!(
                        "run `kopi-docka backup --unit {quoted}` now, and verify it too: what has not changed since shares its data with this point"
                    ))
                } else {
                    failure
                }
            }
            Self::Unread(error) => Failure::new(
                Exit::UnitsFailed,
                format!("restore point {id} of unit `{unit}` is not verified: {what} was not read to its end"),
            )
            .caused_by(error)
            .note("that is no sign of damage: verify it again"),
            Self::Deleted | Self::Ended => return None,
        };
        Some(failure.into())
    }
}

/// What tells more of a point.
fn worse(one: PointResult, other: PointResult) -> PointResult {
    let rank = |result| match result {
        PointResult::Good => 0,
        PointResult::Unfinished => 1,
        PointResult::Unread => 2,
        PointResult::Deleted => 3,
        PointResult::Damaged => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// Length of all streams of `source`.
fn bytes(source: &SourceRecord) -> u64 {
    source
        .parts
        .iter()
        .fold(0, |sum, part| sum.saturating_add(part.bytes))
}
