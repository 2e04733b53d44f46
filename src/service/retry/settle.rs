//! What a run of everything leaves: a backup that is to be made later, or none.

use chrono::{DateTime, Utc};
use tracing::info;

use super::pending::{self, Pending};
use crate::base::text;
use crate::config::Config;
use crate::context::Context;
use crate::drivers::kopia::{self, Cause};
use crate::error::{Exit, Result, exit_of};
use crate::logging;
use crate::model::report::RunReport;

/// Whether somebody sees how the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Who can begin it again.
    There,
    Away,
}

/// After a run of everything, which ends with an error only before anything is stopped. Tells what is left pending, and returns whether this run is
/// made up for.
pub fn settle(cx: &Context, config: &Config, operator: Operator, ran: &Result<RunReport>) -> bool {
    let profile = config.profile();
    let is_unreached = ran.as_ref().is_err_and(is_unreached);
    let before = Pending::read(&cx.paths, profile);
    let after = next(before.clone(), config, operator, is_unreached, Utc::now());
    let done = match &after {
        Some(pending) if before.as_ref() != after.as_ref() => pending.write(&cx.paths, profile),
        Some(_) => Ok(()),
        None => pending::remove(&cx.paths, profile),
    };
    if let Err(error) = done {
        cx.ui.warn(format!(
            "whether this backup is to be tried again could not be written down: {error:#}"
        ));
        return false;
    }
    if operator == Operator::There {
        return false;
    }
    let is_other = |before: &Pending| after.as_ref().is_none_or(|it| it.since != before.since);
    match before.filter(is_other) {
        Some(before) if is_unreached => {
            let since = text::minute(before.since);
            cx.ui
                .warn(format!("the backup of {since} was not made up for"));
        }
        Some(before) if ran.is_ok() => {
            let since = text::minute(before.since);
            tell(cx, &format!("This backup makes up for that of {since}"));
        }
        _ => {}
    }
    if let Some(after) = &after {
        let until = text::minute(after.until);
        tell(
            cx,
            &format!(
                "Pending: this backup is made when the repository answers, until {until}: `kopi-docka-retry.timer`, or the daemon, looks every five minutes"
            ),
        );
    }
    is_unreached && after.is_some()
}

/// Whether waiting may help: a storage that refuses what this host shows it is not asked again and again.
pub fn is_unreached(error: &anyhow::Error) -> bool {
    exit_of(error) == Exit::Storage && !kopia::cause_of(error).is_some_and(Cause::is_refusal)
}

fn tell(cx: &Context, text: &str) {
    cx.ui.say(text);
    info!(target: logging::FILE, "{text}");
}

fn next(
    before: Option<Pending>,
    config: &Config,
    operator: Operator,
    is_unreached: bool,
    now: DateTime<Utc>,
) -> Option<Pending> {
    let time = config.backup.retry_when_reachable?;
    if !is_unreached {
        return None;
    }
    match (operator, before) {
        // What was pending before is still to be done.
        (Operator::There, before) => before,
        // It was for this that the run began: the time goes on.
        (Operator::Away, Some(before)) if before.is_claimed && !before.is_over(now) => {
            Some(Pending {
                is_claimed: false,
                ..before
            })
        }
        (Operator::Away, _) => Some(Pending::new(now, time)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::at;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn after(
        before: Option<&Pending>,
        operator: Operator,
        is_unreached: bool,
        now: i64,
    ) -> Option<Pending> {
        let mut config = Config::default();
        config.backup.retry_when_reachable = Some(HOUR);
        next(before.cloned(), &config, operator, is_unreached, at(now))
    }

    #[test]
    fn an_unattended_run_that_did_not_reach_the_repository_is_pending() {
        let first = after(None, Operator::Away, true, 100);
        assert_eq!(first, Some(Pending::new(at(100), HOUR)));
        assert_eq!(after(None, Operator::There, true, 100), None);
        assert_eq!(after(None, Operator::Away, false, 100), None);
        let mut off = Config::default();
        off.backup.retry_when_reachable = None;
        assert_eq!(next(first, &off, Operator::Away, true, at(100)), None);
    }

    #[test]
    fn a_storage_that_refuses_this_host_is_not_asked_again() {
        let said = |words: &str| {
            let error = kopia::ended(words);
            assert_eq!(exit_of(&error), Exit::Storage, "{words}");
            is_unreached(&error.context("the repository cannot be opened"))
        };
        assert!(said("dial tcp 100.64.0.2:22: i/o timeout"));
        assert!(said("dial tcp 100.64.0.2:22: connection refused"));
        assert!(!said(
            "ssh: unable to authenticate, attempted methods [none publickey]"
        ));
        assert!(!said("knownhosts: key is unknown"));
    }

    #[test]
    fn a_run_that_opens_it_or_fails_otherwise_leaves_nothing_pending() {
        let pending = Pending::new(at(0), HOUR);
        for operator in [Operator::There, Operator::Away] {
            assert_eq!(after(Some(&pending), operator, false, 100), None);
        }
    }

    #[test]
    fn a_retry_that_fails_has_the_rest_of_the_time_and_a_regular_run_a_time_of_its_own() {
        let pending = Pending::new(at(0), HOUR);
        let claimed = Pending {
            is_claimed: true,
            ..pending.clone()
        };
        let rest = after(Some(&claimed), Operator::Away, true, 600);
        assert_eq!(rest.as_ref(), Some(&pending));
        let regular = after(rest.as_ref(), Operator::Away, true, 700);
        assert_eq!(regular, Some(Pending::new(at(700), HOUR)));
        // It was claimed, and never began.
        let late = after(Some(&claimed), Operator::Away, true, 86_400);
        assert_eq!(late, Some(Pending::new(at(86_400), HOUR)));
        // An operator who tries in between changes nothing.
        assert_eq!(
            after(Some(&pending), Operator::There, true, 600),
            Some(pending)
        );
    }
}
