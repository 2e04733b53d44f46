//! What no run can tell: that one was killed, and that none came. The recover timer looks by way of `kopi-docka-notify.service`, and so does the
//! daemon. A host that is down tells nothing: for that a check of Healthchecks waits.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};

use super::cause::{Cause, Problem, What};
use super::mark;
use super::teller::Teller;
use crate::base::text;
use crate::base::{fault, files};
use crate::config::Config;
use crate::context::Context;
use crate::error::Result;
use crate::reports::past::{self, Reports};

/// What could not be told is tried again after so long.
const AGAIN: TimeDelta = TimeDelta::hours(1);
/// Where nothing tells how often backups are made: every night.
const NIGHTLY: TimeDelta = TimeDelta::days(1);
/// It is missed when none was begun for so many intervals.
const LATE: i32 = 2;
/// A run of before is enough not to ask for the interval.
const RECENT: TimeDelta = TimeDelta::hours(1);
/// What was due while the host was off is begun some time after its start.
const AFTER_BOOT: Duration = Duration::from_secs(30 * 60);

/// Tells what is new. `interval` says how far apart backups are, where that is known. What `found` has was found by the caller.
pub async fn look(
    cx: &Context,
    config: &Config,
    found: Option<Problem>,
    interval: impl Future<Output = Option<TimeDelta>>,
) -> Result<()> {
    let teller = Teller::new(cx, config);
    if !teller.has_targets() {
        return forget(&teller);
    }
    teller.take_down_killed().await?;
    let late = late(&teller, interval).await?;
    let mut ledger = teller.ledger().await?;
    let now = Utc::now();
    ledger.content.watched.get_or_insert(now);
    if let Some(late) = late {
        let is_it = |cause: &Cause| cause.what == What::NoRun;
        ledger.content.update(late.as_slice(), is_it, now);
    }
    if let Some(problem) = &found {
        ledger.content.add(problem, now);
    }
    ledger.save()?;
    teller
        .tell_problems(if found.is_some() {
            TimeDelta::zero()
        } else {
            AGAIN
        })
        .await;
    Ok(())
}

/// Nobody is to be told anything any more: what was told to whom is of no use, and systemd need not start us.
fn forget(teller: &Teller) -> Result<()> {
    let (folder, profile) = (teller.paths.notify(), teller.config.profile());
    for (run, _) in mark::killed(&teller.paths, profile) {
        files::remove(&run)?;
    }
    for ending in ["json", "lock"] {
        let file = folder.join(format!("{profile}.{ending}"));
        if file.exists() {
            files::remove(&file)?;
        }
    }
    Ok(())
}

/// Whether no backup was begun for too long; `None` while that cannot be told.
async fn late(
    teller: &Teller,
    interval: impl Future<Output = Option<TimeDelta>>,
) -> Result<Option<Option<Problem>>> {
    // One that is at work is not late, however long it takes.
    if mark::is_any_at_work(&teller.paths, teller.config.profile()) {
        return Ok(None);
    }
    let (last_report, gap) = reported(&teller.config);
    let content = teller.ledger().await?.content;
    let last = content.began.max(last_report);
    let Some(since) = last.or(content.watched) else {
        return Ok(None);
    };
    let now = Utc::now();
    let limit = match fault::duration("interval") {
        Some(interval) => TimeDelta::from_std(interval)? * LATE,
        None if now - since < RECENT => return Ok(Some(None)),
        None if since_boot() < AFTER_BOOT => return Ok(None),
        None => {
            interval
                .await
                .unwrap_or_else(|| gap.unwrap_or(NIGHTLY).max(NIGHTLY))
                * LATE
        }
    };
    Ok(Some(
        (now - since > limit).then(|| no_run(last, since, now)),
    ))
}

fn no_run(last: Option<DateTime<Utc>>, since: DateTime<Utc>, now: DateTime<Utc>) -> Problem {
    let age = text::age(since, now);
    let what = match last {
        Some(last) => format!(
            "no backup was begun for {age}: the last one was that of {}",
            text::minute(last)
        ),
        None => format!("no backup was begun for {age}, since it is looked for one"),
    };
    let text = format!("{what}. See `kopi-docka check`");
    Problem::new(Cause::of_host(What::NoRun), text)
}

/// When the last run that left a report was begun, and how long after the one before.
fn reported(config: &Config) -> (Option<DateTime<Utc>>, Option<TimeDelta>) {
    let reports = Reports::newest_first(&past::folder(config))
        .into_iter()
        .flatten();
    let mut times = reports.filter_map(|(_, report)| Some(report.ok()?.started_at));
    let last = times.next();
    let gap = last.and_then(|last| Some(last - times.next()?));
    (last, gap)
}

fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
}
