//! Reads one source before the stop, as far as it is not proven.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tracing::info;

use super::part::{self, Stored};
use super::site::{self, Host, Site, Wanted};
use super::warm::Warm;
use super::whole::rate;
use crate::backup::plan::UnitPlan;
use crate::backup::run::Run;
use crate::backup::survey::Reading;
use crate::backup::tags::Filing;
use crate::base::blocking::aside;
use crate::base::fault;
use crate::changed::churn::Churn;
use crate::changed::clones::{self, Cloning};
use crate::changed::index::{Head, Index, IndexedPart, Lists};
use crate::changed::names::Cut;
use crate::changed::pass::{Begun, How, Pass};
use crate::changed::{Torn, clock};
use crate::discovery::mount_table::{Outline, is_around};
use crate::error::Result;
use crate::model::Source;

/// What came of it.
pub enum Readied {
    Warm(Box<Warm>),
    /// Its file system or its kernel does not allow it: why.
    Whole(String),
}

/// How often names may move under tar.
const TRIES: usize = 2;

/// An error is one after which the source is read whole, and that is worth a warning.
pub async fn read(
    run: &Run<'_>,
    filing: &Filing,
    plan: &UnitPlan,
    source: &Source,
    reading: &Reading,
) -> Result<Readied> {
    let wanted = Wanted::of(&Host::of(run), plan, source, reading);
    let site = match run.shutdown.cut("the run", aside(|| wanted.find())).await {
        Ok(site) => Arc::new(site),
        Err(error) if run.shutdown.is_asked() => return Err(error),
        Err(error) => return Ok(Readied::Whole(format!("{error:#}"))),
    };
    let night = Night {
        run,
        filing,
        source,
        site: &site,
        cut: cut(run, reading),
    };
    let since = Instant::now();
    let Some(warm) = night.steady(None).await? else {
        anyhow::bail!("there is nothing");
    };
    let cloning = night.cloning(plan, reading).await;
    let warm = warm.cloning(cloning);
    // What has changed while so much was read would all be left for the window.
    let long = fault::duration("long_pass").unwrap_or(LONG_PASS);
    if since.elapsed() < long {
        return Ok(Readied::Warm(Box::new(warm)));
    }
    let warm = match night.steady(Some(warm.index())).await {
        Ok(Some(more)) => more.after(warm).cloning(cloning),
        Ok(None) => warm,
        Err(error) if run.shutdown.is_asked() => return Err(error),
        Err(error) => {
            info!("{} is not read once more: {error:#}", source.key);
            warm
        }
    };
    Ok(Readied::Warm(Box::new(warm)))
}

/// A pass that took longer is followed by a second one,
const LONG_PASS: Duration = Duration::from_secs(60);
/// if so much has changed meanwhile.
const WORTH_IT: u64 = 1 << 30;

/// A window makes clones when reading would take longer.
const LONG_READING: u64 = 5;

/// What the passes over a source in one night have in common.
struct Night<'a> {
    run: &'a Run<'a>,
    filing: &'a Filing,
    source: &'a Source,
    site: &'a Arc<Site>,
    cut: Cut,
}

impl Night<'_> {
    async fn cloning(&self, plan: &UnitPlan, reading: &Reading) -> Cloning {
        let site = Arc::clone(self.site);
        let can_clone = aside(move || Ok(clones::are_possible(&site.root)));
        if !self.run.config.backup.clones || !can_clone.await.unwrap_or(false) {
            return Cloning::Never;
        }
        let history = self.run.history().await;
        let rate = rate(reading, history.rate(&plan.unit.name, &self.source.key));
        Cloning::From(fault::bytes("worth_cloning").unwrap_or(LONG_READING * rate))
    }

    /// A pass, until names stand still.
    async fn steady(&self, after: Option<&Arc<Index>>) -> Result<Option<Warm>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.pass(after).await {
                Err(error) if error.is::<Torn>() && tries < TRIES => {
                    info!("{}: {error:#}; it is read once more", self.source.key);
                }
                done => return done,
            }
        }
    }

    /// What the parts before it hold.
    async fn known(&self) -> Result<Option<Arc<Index>>> {
        let at = Arc::clone(self.site);
        let index = aside(move || Ok(at.index())).await?;
        Ok(match index {
            Some(index) if self.run.has_parts(&index.head.parts).await? => Some(Arc::new(index)),
            _ => None,
        })
    }

    /// `after` is the index of a first pass in the same night; then `None` when there is too little for a second one.
    async fn pass(&self, after: Option<&Arc<Index>>) -> Result<Option<Warm>> {
        let Self { run, site, cut, .. } = *self;
        let stall = run.config.backup.stall_timeout;
        let is_second = after.is_some();
        let index = match after {
            Some(index) => Some(Arc::clone(index)),
            None => self.known().await?,
        };
        let (at, before) = (Arc::clone(site), index.clone());
        let begin = aside(move || {
            let mounts = Outline::read();
            let start = at.sync(before.as_deref().map(|index| &index.head))?;
            let churn = Churn::read(&at.churn_file());
            let how = How {
                cut,
                churn: &churn,
                again: is_second.then(|| fault::bytes("worth_it").unwrap_or(WORTH_IT)),
            };
            let begun =
                at.on(|ground| Pass::begin(&at.root, ground, before.as_deref(), start, how))?;
            Ok((start, mounts, begun))
        });
        let begin = site::alive(site, stall, begin);
        let (start, mounts, begun) = run.shutdown.cut("the run", begin).await?;
        let pass = match begun {
            Begun::Pass(pass) => pass,
            Begun::Nothing(_) if is_second => return Ok(None),
            Begun::Nothing(left) => {
                let warm = |index| Warm::new(Arc::clone(site), (index, None), 0, Vec::new(), left);
                return Ok(index.map(warm));
            }
        };
        fault::reached("before_part").await;
        let notes = notes(&pass);
        let stored = part::store(run, site, (self.source, self.filing), &pass).await?;
        fault::reached("part_stored").await;
        let part_number = usize::from(pass.part());
        let (at, before) = (Arc::clone(site), index.clone());
        let Stored { streams, contents } = stored;
        let end = aside(move || {
            let merged = at.on(|ground| pass.end(ground, before.as_deref(), contents))?;
            let changed = mounts.changed(&Outline::read());
            let mut changed = changed.iter();
            match changed.find(|place| is_around(place, &at.right_for.path)) {
                // What was mounted there for a moment may be what was read.
                Some(place) => Err(Torn::mounted(place).into()),
                None => Ok(merged),
            }
        });
        let end = site::alive(site, stall, end);
        let merged = run.shutdown.cut("the run", end).await?;
        let part = IndexedPart::new(run.backup_id.into(), streams, &merged.lists);
        let bytes = part.bytes();
        let (mut parts, mut lists, base_at) = match &index {
            Some(index) if part_number > 0 => {
                let (head, lists) = (&index.head, &index.lists);
                (head.parts.clone(), lists.clone(), head.base_at)
            }
            _ => (Vec::new(), Vec::<Lists>::new(), Utc::now()),
        };
        parts.truncate(part_number);
        lists.truncate(part_number);
        parts.push(part);
        lists.push(merged.lists);
        let head = Head {
            right_for: site.right_for.clone(),
            taken_at: start.at,
            clock_offset: clock::offset(),
            base_at,
            parts,
        };
        let left = merged.left;
        let finished = aside(move || merged.index.finish(&head, &lists)).await?;
        let index = Arc::clone(&finished.index);
        let new = (index, Some(finished));
        Ok(Some(Warm::new(Arc::clone(site), new, bytes, notes, left)))
    }
}

/// What is less is read by one tar: each further stream costs a kopia.
const CUT_ABOVE: u64 = 2 << 30;
const MOST_STREAMS: u8 = 4;

fn cut(run: &Run<'_>, reading: &Reading) -> Cut {
    let workers = u8::try_from(run.workers).unwrap_or(u8::MAX);
    Cut {
        above: fault::bytes("cut_above").unwrap_or(CUT_ABOVE),
        most_streams: if reading.disks.is_empty() {
            workers.min(MOST_STREAMS)
        } else {
            // The heads of a disk would go to and fro.
            1
        },
    }
}

/// Of a service that touches all its files at each start the next night reads everything.
fn notes(pass: &Pass) -> Vec<String> {
    let look = pass.look();
    let is_most = look.only_touched > 100 && look.only_touched * 10 > look.paths * 9;
    let note = format!(
        "{} of {} files have the same size as before and another time of change: an entrypoint probably runs `chown` or `chmod` at each start",
        look.only_touched, look.paths
    );
    is_most.then_some(note).into_iter().collect()
}
