//! Reads what is proven to be unchanged all the same, and compares it with what the repository holds.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::choose::{Hosts, Request};
use super::read::Reader;
use super::reporter::Reporter;
use super::run::{Begun, begin, feed};
use super::seen::Seen;
use crate::backup::hot::{self, KnownSource};
use crate::base::activity::Activity;
use crate::base::blocking::{self, aside};
use crate::base::shutdown::Shutdown;
use crate::changed::compare::{Compared, compare};
use crate::changed::index::IndexedStream;
use crate::changed::{Look, Scratch};
use crate::context::Context;
use crate::drivers::kopia::{Kopia, STREAM_FILE};
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::model::point::SourceRecord;
use crate::model::{PointId, SourceKey, UnitName};
use crate::points::ahead::Opened;
use crate::points::choose::Which;
use crate::points::feed::{Cancelled, Feed};
use crate::points::point::{Point, points};

/// What was found. Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct AgainstReport {
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    pub points: Vec<PointAgainst>,
    pub warnings: Vec<String>,
    pub exit_code: u8,
}

#[derive(Debug, Serialize)]
pub struct PointAgainst {
    pub unit: UnitName,
    pub backup_id: PointId,
    /// Why its recipe could not be read.
    pub error: Option<String>,
    pub sources: Vec<SourceAgainst>,
}

#[derive(Debug, Serialize)]
pub struct SourceAgainst {
    #[serde(flatten)]
    pub key: SourceKey,
    pub result: Comparison,
    /// Why it was not compared, or not to its end.
    pub why: Option<String>,
    /// Compared to their end.
    pub files: u64,
    pub bytes: u64,
    /// Files that changed while they were read: nothing is known of them.
    pub changed_files: u64,
    pub different_files: u64,
    /// The first hundred.
    pub differences: Vec<Difference>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    Same,
    Different,
    /// Nothing of it is proven to be unchanged.
    NotCompared,
    /// The repository could not be read.
    Unread,
}

#[derive(Debug, Serialize)]
pub struct Difference {
    pub path: String,
    pub what: String,
}

struct Against<'a> {
    cx: &'a Context,
    host: hot::Host<'a>,
    feed: Feed,
    reporter: Reporter,
}

/// Compares the newest whole point of `units`, or of all of them, with what its sources hold now.
pub async fn run(cx: &Context, units: Vec<UnitName>) -> Result<AgainstReport> {
    let started_at = Utc::now();
    let request = Request {
        units,
        which: Which::Latest,
        hosts: Hosts::Own,
        percent: 100,
    };
    let begun = begin(cx).await?;
    let Begun {
        config,
        repository,
        tar,
        manifests,
        ..
    } = &begun;
    let points = points(manifests);
    let chosen = super::choose::choose(&points, &request, repository.kopia.me())?;
    for warning in &chosen.warnings {
        cx.ui.warn(warning);
    }
    let fresh = repository.kopia.fresh()?;
    let (feed, _cancel) = feed(cx, config, &fresh.kopia);
    let against = Against {
        cx,
        host: hot::Host {
            profile: config.profile(),
            paths: &cx.paths,
            shutdown: &cx.shutdown,
            kopia: &repository.kopia,
            tar,
        },
        feed: feed.clone(),
        reporter: Reporter::new(&cx.ui, repository.kopia.identity()),
    };
    let reader = Reader {
        feed,
        tar: Tar::clone(tar),
        manifests,
        seen: Seen::default(),
    };
    against.reporter.started(&chosen.points, request.percent);
    let mut reports = Vec::new();
    for point in &chosen.points {
        reports.push(against.point(&reader, point).await?);
    }
    Ok(AgainstReport {
        started_at,
        finished_at: Utc::now(),
        exit_code: exit_code(&reports),
        points: reports,
        warnings: chosen.warnings,
    })
}

fn exit_code(points: &[PointAgainst]) -> u8 {
    let mut sources = points.iter().flat_map(|point| &point.sources);
    let is_bad = |source: &SourceAgainst| {
        matches!(source.result, Comparison::Different | Comparison::Unread)
    };
    if points.iter().any(|point| point.error.is_some()) || sources.any(is_bad) {
        Exit::UnitsFailed.code()
    } else {
        0
    }
}

impl Against<'_> {
    async fn point(&self, reader: &Reader<'_>, point: &Point) -> Result<PointAgainst> {
        let mut report = PointAgainst {
            unit: point.unit.clone(),
            backup_id: point.backup_id.clone(),
            error: None,
            sources: Vec::new(),
        };
        let record = match reader.recipe(point).await {
            Ok(record) => record,
            Err(error) if self.is_over(&error) => return Err(error),
            Err(error) => {
                let what = format!("the recipe of {} cannot be read", report.unit);
                let failure = Failure::new(Exit::UnitsFailed, what).caused_by(error);
                self.reporter.failure(&failure.into());
                report.error = Some("its recipe cannot be read".to_owned());
                return Ok(report);
            }
        };
        for source in &record.sources {
            let moved = self.reporter.track(point, source);
            let compared = self.source(point, source, &moved).await;
            self.reporter.finished(point, source);
            let found = SourceAgainst::of(source, compared, |error| self.is_over(error))?;
            self.tell(point, &found);
            report.sources.push(found);
        }
        Ok(report)
    }

    /// Nothing else can be compared either.
    fn is_over(&self, error: &anyhow::Error) -> bool {
        self.cx.shutdown.is_asked()
            || error.is::<Cancelled>()
            || matches!(exit_of(error), Exit::WrongPassword | Exit::NoRepository)
    }

    /// The inner error says why it cannot be compared.
    async fn source(
        &self,
        point: &Point,
        source: &SourceRecord,
        moved: &Activity,
    ) -> Result<Result<Compared, String>> {
        let wanted = hot::index_folder(&self.host, &point.unit, &source.key);
        let state = self.host.paths.state.clone();
        let shutdown = self.host.shutdown.clone();
        let known = aside(move || Ok(hot::known(wanted, state, shutdown)));
        let known = match self.cx.shutdown.cut("the verify", known).await? {
            Ok(known) => Arc::new(known),
            Err(why) => return Ok(Err(why)),
        };
        let has = |stream: &IndexedStream| {
            let mut parts = source.parts.iter();
            parts.any(|part| part.root == stream.root)
        };
        let parts = &known.index.head.parts;
        if !parts.iter().flat_map(|part| &part.streams).all(has) {
            return Ok(Err(
                "what is known of its files is of another restore point".to_owned(),
            ));
        }
        let look = self.look(&known);
        let files = self.cx.shutdown.cut("the verify", look).await?;
        let mut compared = Compared::default();
        for (part, files) in parts.iter().zip(files) {
            if files.count == 0 {
                continue;
            }
            let files = Arc::new(files);
            let skipped = usize::from(part.streams.len() > 1);
            for stream in part.streams.iter().skip(skipped) {
                let of = (Arc::clone(&known), Arc::clone(&files));
                compared.add(self.stream(stream, of, moved).await?);
            }
        }
        Ok(Ok(compared))
    }

    /// Of each part the files that are as it has them.
    async fn look(&self, known: &Arc<KnownSource>) -> Result<Vec<Scratch>> {
        let known = Arc::clone(known);
        let alive = known.site.alive.clone();
        let folder = std::env::temp_dir();
        let look = aside(move || {
            let (site, index) = (&known.site, Some(&known.index));
            let look = site.with_lists_in(&folder, |ground| Look::at(ground, index))?;
            (0..)
                .take(known.index.head.parts.len())
                .map(|part| look.files_in(part, &folder))
                .collect()
        });
        self.feed.guarded(&alive, look).await
    }

    async fn stream(
        &self,
        stream: &IndexedStream,
        (known, files): (Arc<KnownSource>, Arc<Scratch>),
        moved: &Activity,
    ) -> Result<Compared> {
        let kopia = &self.feed.kopia;
        let Opened {
            kopia: mut child,
            stream: output,
        } = Opened::of_file(kopia, &stream.root, STREAM_FILE)?;
        let (counted, shutdown) = (moved.clone(), self.cx.shutdown.clone());
        let reading = blocking::start(move || read(output, &known, &files, counted, &shutdown))?;
        let work = async {
            let read = reading.await.context("a thread ended in a panic")?;
            Ok((read, child.wait().await?))
        };
        let done = self.feed.guarded(moved, work).await;
        let (read, ended) = match done {
            Ok(done) => done,
            Err(error) => {
                let _ = child.killed().await;
                return Err(error);
            }
        };
        if !ended.status.success() {
            return Err(Kopia::failure(&ended));
        }
        let (compared, bytes) = read?;
        if bytes != stream.bytes {
            anyhow::bail!(
                "the repository gave {bytes} bytes instead of {}",
                stream.bytes
            );
        }
        Ok(compared)
    }

    fn tell(&self, point: &Point, found: &SourceAgainst) {
        let (unit, key) = (&point.unit, &found.key);
        match (&found.result, &found.why) {
            (Comparison::NotCompared, Some(why)) => self
                .reporter
                .warn(&format!("{key} of unit `{unit}` is not compared: {why}")),
            (Comparison::Unread, Some(why)) => {
                let what = format!("{key} of unit `{unit}` was not compared to its end: {why}");
                let again = format!("verify its restore point: `kopi-docka verify --unit {unit}`");
                let failure = Failure::new(Exit::UnitsFailed, what).hint(again);
                self.reporter.failure(&failure.into());
            }
            _ => {}
        }
        for different in &found.differences {
            let what = format!(
                "{key} of unit `{unit}`: `{}` {}, though nothing is known to have changed it",
                different.path, different.what
            );
            let failure = Failure::new(Exit::UnitsFailed, what)
                    .hint("check the disk (`dmesg`, `smartctl`); what the repository holds of it is what was read when it was saved")
                    .hint(format!("a program that writes past the file system does this too: then set `backup.units.{unit}.read` to `\"everything\"`"));
            self.reporter.failure(&failure.into());
        }
    }
}

/// Blocks.
fn read(
    output: OwnedFd,
    known: &KnownSource,
    files: &Scratch,
    moved: Activity,
    shutdown: &Shutdown,
) -> Result<(Compared, u64)> {
    let mut counted = Counted {
        file: output.into(),
        bytes: 0,
        moved,
    };
    let mut stream = std::io::BufReader::with_capacity(1 << 20, &mut counted);
    let is_cancelled = || shutdown.is_asked();
    let compared = compare(&known.site.root, files, &mut stream, &is_cancelled)?;
    Ok((compared, counted.bytes))
}

struct Counted {
    file: File,
    bytes: u64,
    moved: Activity,
}

impl std::io::Read for &mut Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes += read as u64;
        self.moved.add(read as u64);
        Ok(read)
    }
}

impl SourceAgainst {
    /// An error that `is_over` is one for all.
    fn of(
        source: &SourceRecord,
        compared: Result<Result<Compared, String>>,
        is_over: impl Fn(&anyhow::Error) -> bool,
    ) -> Result<Self> {
        let (result, why, compared) = match compared {
            Ok(Ok(compared)) if compared.differing > 0 => (Comparison::Different, None, compared),
            Ok(Ok(compared)) if compared.files == 0 => {
                let why = "no file of it is proven to be unchanged".to_owned();
                (Comparison::NotCompared, Some(why), compared)
            }
            Ok(Ok(compared)) => (Comparison::Same, None, compared),
            Ok(Err(why)) => (Comparison::NotCompared, Some(why), Compared::default()),
            Err(error) if is_over(&error) => return Err(error),
            Err(error) => {
                let why = format!("{error:#}");
                (Comparison::Unread, Some(why), Compared::default())
            }
        };
        let differences = compared.differences.iter();
        Ok(Self {
            key: source.key.clone(),
            result,
            why,
            files: compared.files,
            bytes: compared.bytes,
            changed_files: compared.changed,
            different_files: compared.differing,
            differences: differences
                .map(|different| Difference {
                    path: different.path.to_string_lossy().into_owned(),
                    what: different.what.clone(),
                })
                .collect(),
        })
    }
}
