//! What there is to choose from. Nothing, when that would take too long or there is no repository.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::CompletionCandidate;

use super::words::{typed, value_of};
use crate::base::shutdown::{Hangup, Shutdown};
use crate::base::text;
use crate::config::LogLevel;
use crate::context::{CONFIG_VARIABLE, Context};
use crate::discovery::{self, Rules};
use crate::drivers::docker::Engine;
use crate::drivers::kopia::Manifest;
use crate::error::Result;
use crate::logging;
use crate::points::point::{Point, PointState, points};
use crate::points::recipe;
use crate::repository::Repository;
use crate::restore::request::handle;
use crate::ui::Ui;
use crate::ui::printer::Lines;

/// How many seconds an answer may take, for a repository that is far away.
const PATIENCE: &str = "KOPI_DOCKA_COMPLETE_SECONDS";
const DEFAULT_SECONDS: u64 = 3;

/// Units that have restore points.
pub fn saved_units(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(current, async |typed| {
        let repository = Known::open(&typed).await?;
        let units = repository
            .points(&typed)
            .map(|point| point.unit.to_string());
        Ok(each_once(units))
    })
}

/// Units that are on this host.
pub fn units_here(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(current, async |typed| {
        let cx = context(&typed)?;
        let config = cx.config_again()?.config;
        let engine = Engine::connect(&config.docker.socket).await?;
        let found = discovery::discover(&engine, &Rules::of(&config, &cx.paths)).await?;
        Ok(each_once(
            found.units.into_iter().map(|unit| unit.name.to_string()),
        ))
    })
}

/// Ids of restore points, of the unit that has been named: the newest first.
pub fn backup_ids(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(current, async |typed| {
        let repository = Known::open(&typed).await?;
        let unit = value_of(&typed, "--unit");
        let mut seen = BTreeSet::new();
        let ids = repository
            .points(&typed)
            .filter(|point| {
                unit.as_deref()
                    .is_none_or(|unit| point.unit.as_str() == unit)
            })
            .filter(|point| seen.insert(point.backup_id.clone()))
            .map(|point| {
                let grade = point.grade.map_or("-", |grade| grade.as_str());
                let local = point.time.with_timezone(&chrono::Local);
                let when = local.format("%Y-%m-%d %H:%M");
                let help = format!("{when}, {grade}, {}", text::bytes(point.bytes));
                (point.backup_id.to_string(), help)
            });
        let latest = ("latest".to_owned(), "the newest whole one".to_owned());
        Ok(std::iter::once(latest).chain(ids).collect())
    })
}

/// Volumes and paths of bind mounts in the restore point that has been named, or in the newest of the unit.
pub fn volumes(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(current, async |typed| {
        let repository = Known::open(&typed).await?;
        let unit = value_of(&typed, "--unit").unwrap_or_default();
        let id = value_of(&typed, "--backup-id").filter(|id| id != "latest");
        let mut of_unit = repository.points(&typed).filter(|point| {
            point.unit.as_str() == unit
                && id
                    .as_ref()
                    .is_none_or(|id| point.backup_id.to_string() == *id)
        });
        let Some(point) = of_unit.next() else {
            return Ok(Vec::new());
        };
        let kopia = &repository.repository.kopia;
        let record = recipe::record(kopia, point, &repository.manifests).await?;
        Ok(each_once(
            record.sources.iter().map(|source| handle(&source.key)),
        ))
    })
}

/// Hosts that have restore points.
pub fn hosts(current: &OsStr) -> Vec<CompletionCandidate> {
    offer(current, async |typed| {
        let repository = Known::open(&typed).await?;
        let hosts = repository.points.iter();
        let hosts = hosts.map(|point| point.host().to_owned());
        Ok(each_once(hosts))
    })
}

/// An opened repository, and what it has.
struct Known {
    repository: Repository,
    manifests: Vec<Manifest>,
    points: Vec<Point>,
}

impl Known {
    async fn open(typed: &[String]) -> Result<Self> {
        let cx = context(typed)?;
        let config = cx.config_again()?.config;
        let repository = Repository::of(&cx, &config)?;
        let manifests = repository.kopia.list().await?;
        let points = points(&manifests);
        Ok(Self {
            repository,
            manifests,
            points,
        })
    }

    /// Of the host that has been named, or of this one; the newest first.
    fn points(&self, typed: &[String]) -> impl Iterator<Item = &Point> {
        let host = value_of(typed, "--host");
        let identity = self.repository.kopia.identity();
        self.points.iter().filter(move |point| {
            point.state != PointState::Unfinished && point.is_of_host(host.as_deref(), &identity)
        })
    }
}

type Choice = (String, String);

fn each_once(words: impl Iterator<Item = String>) -> Vec<Choice> {
    let words: BTreeSet<String> = words.filter(|word| !word.is_empty()).collect();
    words
        .into_iter()
        .map(|word| (word, String::new()))
        .collect()
}

/// Those of what `ask` finds that begin with what is there of the word.
fn offer(
    current: &OsStr,
    ask: impl AsyncFnOnce(Vec<String>) -> Result<Vec<Choice>>,
) -> Vec<CompletionCandidate> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        return Vec::new();
    };
    let seconds = std::env::var(PATIENCE).ok();
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let patience = Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS));
    let asked = async { tokio::time::timeout(patience, ask(typed())).await };
    let found = runtime.block_on(asked);
    runtime.shutdown_background();
    let Ok(Ok(found)) = found else {
        return Vec::new();
    };
    let begun = current.to_string_lossy();
    found
        .into_iter()
        .filter(|(word, _)| word.starts_with(&*begun))
        .map(|(word, help)| {
            let help = (!help.is_empty()).then(|| help.into());
            CompletionCandidate::new(word).help(help)
        })
        .collect()
}

/// As for a command that says nothing.
fn context(typed: &[String]) -> Result<Context> {
    let options = logging::Options {
        level: Some(LogLevel::Error),
        ..logging::Options::default()
    };
    let log = logging::init(options, None, Lines::default);
    let shutdown = Shutdown::listen(Hangup::Ends)?;
    let named = value_of(typed, "--config").map(OsString::from);
    let named = named.or_else(|| std::env::var_os(CONFIG_VARIABLE));
    let config = named.filter(|file| !file.is_empty()).map(PathBuf::from);
    Ok(Context::new(config, Ui::quiet(), shutdown, log))
}
