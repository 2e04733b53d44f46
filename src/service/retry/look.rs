//! Whether a pending backup can be made now.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::pending::{self, Pending};
use super::settle::is_unreached;
use crate::base::{fault, lock, text};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Exit, Failure, Result, exit_of};
use crate::repository::Repository;

/// As `OnCalendar=` of `kopi-docka-retry.timer`.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Storage that answers does so sooner, however far away it is.
const OPENING: Duration = Duration::from_secs(20);

/// How often the daemon looks.
pub fn interval() -> Duration {
    fault::duration("retry").unwrap_or(INTERVAL)
}

#[derive(Debug)]
pub enum Look {
    /// None is pending, a run is at work, or the repository does not answer.
    Wait,
    /// The backup can be made.
    Now(Pending),
    /// It was given up, for this reason, and is pending no more.
    GivenUp(anyhow::Error),
}

/// Asks the repository when a backup is pending. Takes no lock.
pub async fn look(cx: &Context, config: &Config) -> Result<Look> {
    let read = || Pending::read(&cx.paths, config.profile());
    pending::sweep(&cx.paths, Utc::now())?;
    let Some(pending) = read() else {
        return Ok(Look::Wait);
    };
    let is_at_work = || lock::holder(&cx.paths.runtime).is_some();
    if is_at_work() {
        return Ok(Look::Wait);
    }
    match begin(&pending, config, Utc::now()) {
        Begin::Ask => {}
        Begin::Forget => {
            pending::remove(&cx.paths, config.profile())?;
            return Ok(Look::Wait);
        }
        Begin::GiveUp => {
            pending::remove(&cx.paths, config.profile())?;
            return Ok(Look::GivenUp(given_up(&pending).into()));
        }
    }
    if !answers(cx, config).await || cx.shutdown.is_asked() {
        return Ok(Look::Wait);
    }
    // A run that began meanwhile, or has come to its end, has taken care of it.
    match read() {
        Some(pending) if !is_at_work() => Ok(Look::Now(pending)),
        _ => Ok(Look::Wait),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Begin {
    Ask,
    /// It was switched off.
    Forget,
    GiveUp,
}

fn begin(pending: &Pending, config: &Config, now: DateTime<Utc>) -> Begin {
    if config.backup.retry_when_reachable.is_none() {
        Begin::Forget
    } else if pending.is_over(now) {
        Begin::GiveUp
    } else {
        Begin::Ask
    }
}

/// What a run would ask first. Where anything else is wrong than the storage the run says it best.
async fn answers(cx: &Context, config: &Config) -> bool {
    let opening = async { Repository::of(cx, config)?.open().await };
    match tokio::time::timeout(OPENING, opening).await {
        Err(_) => false,
        Ok(Ok(_)) => true,
        // A server that has just started may not have mounted its disks yet.
        Ok(Err(error)) => !is_unreached(&error) && exit_of(&error) != Exit::NoRepository,
    }
}

fn given_up(pending: &Pending) -> Failure {
    let (since, until) = (text::minute(pending.since), text::minute(pending.until));
    Failure::new(
        Exit::Storage,
        format!("the backup of {since} was not made: the repository did not answer until {until}"),
    )
    .hint("when its storage answers, run `kopi-docka backup`; the next regular backup comes all the same")
    .hint("`backup.retry_when_reachable` says how long it is tried")
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;
    use crate::error::render;

    #[test]
    fn it_is_asked_for_until_the_time_is_over_or_it_is_switched_off() {
        let mut config = Config::default();
        let pending = Pending::new(at(0), Duration::from_secs(60));
        assert_eq!(begin(&pending, &config, at(59)), Begin::Ask);
        assert_eq!(begin(&pending, &config, at(60)), Begin::GiveUp);
        // A clock that was set back.
        assert_eq!(begin(&pending, &config, at(-1)), Begin::Ask);
        config.backup.retry_when_reachable = None;
        assert_eq!(begin(&pending, &config, at(60)), Begin::Forget);
    }

    #[test]
    fn what_was_given_up_is_said_with_its_times() {
        let pending = Pending::new(at(0), Duration::from_secs(6 * 3600));
        let text = render(&given_up(&pending).into());
        assert!(
            text.starts_with(
                "error: the backup of 2025-01-31 02:00 UTC was not made: the repository did not answer until 2025-01-31 08:00 UTC\n"
            ),
            "{text}"
        );
    }
}
