//! What a run would do now: the same plan, and nothing else of it. Takes no lock, asks no storage and writes nothing, so
//! that it can be looked at while a run is at work.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::choose::{Chosen, LeftOut, choose};
use super::forecast::{self, ToRead};
use super::hot;
use super::memory::{self, Acceptance, Recalled};
use super::plan::{Tolerated, UnitPlan};
use super::survey::plan_unit;
use crate::base::blocking::aside;
use crate::base::files;
use crate::config::Config;
use crate::context::Context;
use crate::discovery::{self, Discovery, OrphanVolume, Rules};
use crate::drivers::docker::Engine;
use crate::drivers::tar::Tar;
use crate::error::{Exit, Failure, Result};
use crate::hooks;
use crate::model::report::ReadAs;
use crate::model::source::{Gap, Source};
use crate::model::unit::{Container, ContainerState};
use crate::model::{UnitKind, UnitName};
use crate::quiesce::RecordFile;
use crate::reports::history::{History, Sampled};
use crate::reports::past;
use crate::repository::Repository;

/// For a look at the directory of a repository.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Preview {
    pub units: Vec<UnitPreview>,
    /// Units that a run without a name does not save.
    pub left_out: Vec<LeftOut>,
    /// Volumes that belong to no unit, since no container uses them.
    pub orphan_volumes: Vec<OrphanVolume>,
    pub warnings: Vec<String>,
    /// What would end the run before any unit is tried.
    pub obstacles: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct UnitPreview {
    pub unit: UnitName,
    pub kind: UnitKind,
    /// Set when the unit would fail for certain, so that nothing is stopped for it.
    pub blocker: Option<String>,
    /// Names of what is stopped, those of one entry at once; started in the reverse order.
    pub stops: Vec<Vec<Stop>>,
    /// Writers that go on.
    pub tolerated: Vec<Tolerated>,
    pub sources: Vec<SourcePreview>,
    /// The sum of what is known.
    pub estimated_bytes: u64,
    /// By earlier runs, or without one by what there is to be read. `None` when that is not known either.
    pub estimated_downtime_seconds: Option<f64>,
    /// How many earlier runs the estimate is from.
    pub estimated_from_runs: usize,
    /// How long it may be down; `None` without a limit. A unit that is expected to pass it is left up, and not saved.
    pub max_downtime_seconds: Option<u64>,
    pub is_left_up: bool,
    /// What is done before and after it, in order: `before_stop: php occ maintenance:mode --on in container app`.
    pub hooks: Vec<String>,
    pub gaps: Vec<Gap>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Stop {
    pub container: String,
    /// What Docker is told to wait before it kills.
    pub grace_seconds: i64,
    /// It is no member of the unit, but shares its data.
    pub is_shared: bool,
}

#[derive(Debug, Serialize)]
pub struct SourcePreview {
    #[serde(flatten)]
    pub source: Source,
    /// `None` when it could not be measured.
    pub estimated_bytes: Option<u64>,
    /// What is known already to make it less than cold.
    pub doubts: Vec<String>,
    pub read: ReadAs,
    /// Why it is read whole.
    pub read_why: Vec<String>,
    /// At least so much is read before the stop. `None` when it is not known, as is all below.
    pub before_bytes: Option<u64>,
    /// At least so much is read while services are down.
    pub window_bytes: Option<u64>,
    /// Of files that are proven to be as an earlier restore point has them.
    pub kept_bytes: Option<u64>,
    #[serde(skip)]
    walk: Duration,
}

/// What was found, and the first thing that would end a run before any unit is tried.
pub struct Previewed {
    pub preview: Preview,
    pub obstacle: Option<anyhow::Error>,
}

/// Looks at `units`, or at all that are enabled when it is empty.
pub async fn preview(cx: &Context, units: &[UnitName]) -> Result<Previewed> {
    let loaded = cx.config()?;
    let config = &loaded.config;
    let rules = Rules::of(config, &cx.paths);
    let engine = Engine::connect(&config.docker.socket).await?;
    let mut host = discovery::discover(&engine, &rules).await?;
    let mut warnings = restores_to_settle(cx);
    bring_up_on_paper(cx, &mut host, &mut warnings);
    let Chosen { units, left_out } = {
        let named = units;
        let mut chosen = choose(host.units.clone(), named)?;
        if !named.is_empty() {
            // They belong to no unit, so they are left out when units are named.
            host.orphan_volumes.clear();
            chosen.left_out.clear();
        }
        chosen
    };
    let folder = past::folder(config);
    let history = aside(move || Ok(History::load(&folder))).await?;
    let tools = Tools::find(cx, config).await;
    let mut previews = Vec::new();
    for unit in units {
        let mut plan = plan_unit(unit, &host, config, &rules).await?;
        compare(cx, config, &mut plan).await;
        let sources = tools.ahead(cx, config, &plan, &history).await?;
        previews.push(UnitPreview::of(config, plan, sources, &history));
    }
    let obstacles = tools.obstacles(config).await;
    Ok(Previewed {
        preview: Preview {
            units: previews,
            left_out,
            orphan_volumes: host.orphan_volumes,
            warnings,
            obstacles: obstacles.iter().map(|error| format!("{error:#}")).collect(),
        },
        obstacle: obstacles.into_iter().next(),
    })
}

/// With what this host remembers: the storage is not asked.
async fn compare(cx: &Context, config: &Config, plan: &mut UnitPlan) {
    let name = &plan.unit.name;
    let limit = config.unit(name.as_str()).shrink_limit;
    let recalled = Recalled::read(&cx.paths, config.profile(), name).unwrap_or_default();
    memory::look_back(plan, recalled, limit, Acceptance::No).await;
    memory::settle_for_show(plan);
}

fn restores_to_settle(cx: &Context) -> Vec<String> {
    let journals = files::read_all(&cx.paths.restore_journals(), |_| Some(()));
    match journals {
        Ok(journals) if journals.good.is_empty() => Vec::new(),
        Ok(_) => vec![
            "a restore is at work or was interrupted: a backup finishes or undoes it first"
                .to_owned(),
        ],
        Err(error) => vec![format!("{error:#}")],
    }
}

/// What another run has down is up before a backup stops anything, so the plan is made as if it were.
fn bring_up_on_paper(cx: &Context, host: &mut Discovery, warnings: &mut Vec<String>) {
    let records = match RecordFile::pending(&cx.paths.stop_records()) {
        Ok((records, _)) => records,
        Err(error) => {
            warnings.push(format!("{error:#}"));
            return;
        }
    };
    let down: BTreeSet<String> = records
        .into_iter()
        .flat_map(|file| file.record.entries)
        .map(|entry| entry.id)
        .collect();
    let members = host.units.iter_mut().flat_map(|unit| &mut unit.containers);
    for container in members.chain(&mut host.containers) {
        if down.contains(&container.id) && is_down(container) {
            container.state = ContainerState::Running;
            let warning = format!(
                "container `{}` was stopped by a run that is at work or was interrupted: a backup starts it first",
                container.name
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
}

fn is_down(container: &Container) -> bool {
    matches!(
        container.state,
        ContainerState::Exited | ContainerState::Dead | ContainerState::Created
    )
}

impl UnitPreview {
    fn of(
        config: &Config,
        mut plan: UnitPlan,
        sources: Vec<SourcePreview>,
        history: &History,
    ) -> Self {
        let is_member = |id: &str| plan.unit.containers.iter().any(|member| member.id == id);
        let mut levels: Vec<usize> = plan.entries.iter().map(|entry| entry.level).collect();
        levels.sort_unstable_by(|a, b| b.cmp(a));
        levels.dedup();
        // What is refused stops nothing, whatever was planned until the refusal.
        levels.retain(|_| plan.refusal.is_none());
        let stops: Vec<Vec<Stop>> = levels
            .into_iter()
            .map(|level| {
                let entries = plan.entries.iter().filter(|entry| entry.level == level);
                let stops = entries.map(|entry| Stop {
                    container: entry.name.clone(),
                    grace_seconds: entry.grace_seconds,
                    is_shared: !is_member(&entry.id),
                });
                stops.collect()
            })
            .collect();
        let hooks = hooks::of_unit(config, &plan.unit).display();
        let (limit, warnings) = forecast::limit(config, &plan.unit);
        plan.warnings.extend(warnings);
        let known = if stops.is_empty() {
            Some((0.0, 0))
        } else {
            let known = history.downtime(&plan.unit.name);
            known.or_else(|| reckoned(&plan.unit.name, &sources, history))
        };
        let is_longer = |limit: Duration| known.is_some_and(|(it, _)| it > limit.as_secs_f64());
        Self {
            max_downtime_seconds: limit.map(|limit| limit.as_secs()),
            is_left_up: limit.is_some_and(is_longer),
            estimated_downtime_seconds: known.map(|(seconds, _)| seconds),
            estimated_from_runs: known.map_or(0, |(_, runs)| runs),
            stops,
            hooks,
            estimated_bytes: plan.sizes.values().map(|size| size.bytes).sum(),
            sources,
            unit: plan.unit.name,
            kind: plan.unit.kind,
            blocker: plan.refusal,
            tolerated: plan.tolerated,
            gaps: plan.gaps,
            warnings: plan.errors.into_iter().chain(plan.warnings).collect(),
        }
    }
}

/// Without a run that tells: as a run would expect it, with what is known now.
fn reckoned(unit: &UnitName, sources: &[SourcePreview], history: &History) -> Option<Sampled> {
    let reads = sources.iter().map(|source| {
        let read = ToRead {
            bytes: source.window_bytes?,
            walk: source.walk,
        };
        Some((&source.source.key, read))
    });
    let reads: Vec<_> = reads.collect::<Option<_>>()?;
    let seconds = forecast::downtime(history, unit, reads.into_iter(), 1);
    Some((seconds, 0))
}

/// What a run works with, as far as it is there.
struct Tools {
    tar: Result<Tar>,
    repository: Result<Repository>,
}

impl Tools {
    async fn find(cx: &Context, config: &Config) -> Self {
        Self {
            tar: Tar::find().await,
            repository: Repository::of(cx, config),
        }
    }

    /// The sources of `plan`, and what would be read of each.
    async fn ahead(
        &self,
        cx: &Context,
        config: &Config,
        plan: &UnitPlan,
        history: &History,
    ) -> Result<Vec<SourcePreview>> {
        let choice = hot::Choice::of(config, plan, false);
        let mut previews = Vec::new();
        for source in &plan.unit.sources {
            let why = choice.why_whole(plan, source, history);
            let host = match (&self.tar, &self.repository) {
                (Ok(tar), Ok(repository)) if why.is_none() => Some(hot::Host {
                    profile: config.profile(),
                    paths: &cx.paths,
                    shutdown: &cx.shutdown,
                    kopia: &repository.kopia,
                    tar,
                }),
                _ => None,
            };
            let size = plan.sizes.get(&source.key).map(|size| size.bytes);
            let mut preview = SourcePreview {
                estimated_bytes: size,
                doubts: plan.doubts.get(&source.key).cloned().unwrap_or_default(),
                read: ReadAs::Plain,
                read_why: why.into_iter().collect(),
                before_bytes: None,
                window_bytes: size,
                kept_bytes: None,
                walk: Duration::ZERO,
                source: source.clone(),
            };
            if let Some(host) = host {
                let stall = config.backup.stall_timeout;
                match hot::look_ahead(&host, plan, source, stall).await {
                    Ok(ahead) => preview.is_read_ahead(&ahead),
                    Err(error) if cx.shutdown.is_asked() => return Err(error),
                    Err(error) => preview.read_why.push(format!("{error:#}")),
                }
            }
            previews.push(preview);
        }
        Ok(previews)
    }

    async fn obstacles(self, config: &Config) -> Vec<anyhow::Error> {
        let mut obstacles: Vec<anyhow::Error> = self.tar.err().into_iter().collect();
        match self.repository {
            Ok(repository) => {
                obstacles.extend(repository.kopia.check_version().await.err());
                obstacles.extend(repository.kopia.check_connected().err());
                obstacles.extend(repository.rename().map(anyhow::Error::from));
            }
            Err(error) => obstacles.push(error),
        }
        obstacles.extend(absent(config).await);
        obstacles
    }
}

impl SourcePreview {
    fn is_read_ahead(&mut self, ahead: &hot::Ahead) {
        self.read = ReadAs::Changed;
        self.before_bytes = Some(ahead.before_bytes);
        self.window_bytes = Some(0);
        self.kept_bytes = Some(ahead.kept_bytes);
        self.walk = ahead.walk;
    }
}

/// The directory of a repository that is not there. Other storage is not asked: it may be far away, or in use.
async fn absent(config: &Config) -> Option<anyhow::Error> {
    let path = config.kopia.kopia_params.local_path()?;
    let asked = path.clone();
    let look = aside(move || Ok(asked.is_dir()));
    let is_there = tokio::time::timeout(PATIENCE, look).await;
    if matches!(is_there, Ok(Ok(true))) {
        return None;
    }
    let what = format!(
        "the repository's directory `{}` is not there",
        path.display()
    );
    let failure = Failure::new(Exit::Storage, what);
    Some(
        failure
            .hint("mount its disk, or run `kopi-docka init`")
            .into(),
    )
}
