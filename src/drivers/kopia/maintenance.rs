//! Kopia's maintenance: it frees the space of unused data. One identity owns it, for all hosts of a repository.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::client::{Kopia, parse_json};
use super::{failure, watch};
use crate::drivers::tool::Child;
use crate::error::{Exit, Failure, Result};

/// While services are up they come first.
const NICENESS: i32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Indexes and small packs.
    Quick,
    /// That, and what no snapshot needs any more.
    Full,
}

/// What `kopia maintenance info --json` tells.
#[derive(Clone, Debug, Deserialize)]
pub struct Maintenance {
    /// `user@host`
    #[serde(default)]
    pub owner: String,
    #[serde(default)]
    quick: Cycle,
    #[serde(default)]
    full: Cycle,
    #[serde(default)]
    schedule: Schedule,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Cycle {
    enabled: bool,
    /// In nanoseconds.
    interval: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Schedule {
    next_full_maintenance: Option<DateTime<Utc>>,
    next_quick_maintenance: Option<DateTime<Utc>>,
    /// By task, the newest first.
    runs: Option<BTreeMap<String, Vec<Task>>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Task {
    end: DateTime<Utc>,
    #[serde(default)]
    success: bool,
    #[serde(default)]
    error: String,
}

/// The newest task of maintenance, of whatever host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastTask {
    pub at: DateTime<Utc>,
    pub success: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

impl Maintenance {
    /// What is due by Kopia's own schedule. A repository that was never maintained is as old as its first snapshot.
    pub fn due(&self, now: DateTime<Utc>, first_snapshot: Option<DateTime<Utc>>) -> Option<Mode> {
        let is_due = |cycle: Cycle, next| {
            let never =
                || first_snapshot.map(|first| first + TimeDelta::nanoseconds(cycle.interval));
            cycle.enabled && known(next).or_else(never).is_some_and(|next| next <= now)
        };
        if is_due(self.full, self.schedule.next_full_maintenance) {
            Some(Mode::Full)
        } else if is_due(self.quick, self.schedule.next_quick_maintenance) {
            Some(Mode::Quick)
        } else {
            None
        }
    }

    /// When the next full one should be, or should have been.
    pub fn next_full(&self) -> Option<DateTime<Utc>> {
        known(self.schedule.next_full_maintenance)
    }

    pub fn last_task(&self) -> Option<LastTask> {
        let runs = self.schedule.runs.as_ref()?;
        let last = runs.values().flatten().max_by_key(|task| task.end)?;
        Some(LastTask {
            at: last.end,
            success: last.success,
            error: last.error.clone(),
        })
    }
}

/// Kopia writes the year 1 for a time that never was.
fn known(time: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    time.filter(|time| time.year() > 1)
}

impl Kopia {
    pub async fn maintenance(&self) -> Result<Maintenance> {
        let spec = self.command().args(["maintenance", "info", "--json"]);
        parse_json(&self.ask(spec).await?)
    }

    /// Only by the owner, and never beside another one. A kopia that moves no byte and says nothing for `stall_timeout` is
    /// killed; what was begun is continued by the next one.
    pub async fn maintain(&self, mode: Mode, stall_timeout: Duration) -> Result<()> {
        let mut spec = self
            .command()
            .args(["maintenance", "run"])
            .niceness(NICENESS);
        spec = spec.arg(match mode {
            Mode::Full => "--full",
            Mode::Quick => "--no-full",
        });
        let mut child = Child::spawn(spec)?;
        let ended = watch::until_silent(&mut child, stall_timeout).await?;
        if ended.status.success() {
            return Ok(());
        }
        let error = failure::of(&ended);
        if ended.stderr.contains("clock skew detected") {
            return Err(Failure::new(
                Exit::Storage,
                "the clocks of this host and of the storage differ too much for maintenance",
            )
            .hint("set the clock of this host (`timedatectl status`)")
            .caused_by(error)
            .into());
        }
        Err(error)
    }

    /// Makes this host the owner of maintenance.
    pub async fn own_maintenance(&self) -> Result<()> {
        let spec = self.command().args(["maintenance", "set", "--owner=me"]);
        self.ask(spec).await.map(drop)
    }

    /// The command line that makes this host the owner of maintenance.
    pub fn take_over_command(&self) -> String {
        let profile = self.profile.to_string_lossy();
        format!(
            "kopia --config-file={} maintenance set --owner=me",
            shell_words::quote(&profile)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 0.23.1 prints it, most of the tasks left out.
    const RECORDED: &str = r#"{"owner":"kopi-docka@h","quick":{"enabled":true,"interval":3600000000000},"full":{"enabled":true,"interval":86400000000000},"logRetention":{"maxTotalSize":1073741824,"maxCount":10000,"maxAge":2592000000000000},"extendObjectLocks":false,"listParallelism":0,"schedule":{"nextFullMaintenance":"2026-11-23T10:27:37.967221053Z","nextQuickMaintenance":"2026-11-22T11:27:37.967221244Z","runs":{"advance-epoch":[{"start":"2026-11-22T10:27:37.980015143Z","end":"2026-11-22T10:27:37.980043245Z","success":true,"extra":[{"kind":"advanceEpochStats","data":{"currentEpoch":0}}]}],"cleanup-logs":[{"start":"2026-11-22T10:27:37.985797308Z","end":"2026-11-22T10:27:37.986256426Z","success":true}]}}}"#;
    const NEVER: &str = r#"{"owner":"kopi-docka@h","quick":{"enabled":true,"interval":3600000000000},"full":{"enabled":true,"interval":86400000000000},"schedule":{"nextFullMaintenance":"0001-01-01T00:00:00Z","nextQuickMaintenance":"0001-01-01T00:00:00Z","runs":null}}"#;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_due_is_what_the_recorded_schedule_says() {
        let info: Maintenance = serde_json::from_str(RECORDED).unwrap();
        let due = |now| info.due(time(now), None);
        assert_eq!(due("2026-11-22T11:00:00Z"), None);
        assert_eq!(due("2026-11-22T12:00:00Z"), Some(Mode::Quick));
        assert_eq!(due("2026-11-23T12:00:00Z"), Some(Mode::Full));
        let last = info.last_task().unwrap();
        assert!(last.success);
        assert_eq!(last.at, time("2026-11-22T10:27:37.986256426Z"));
    }

    #[test]
    fn a_repository_that_was_never_maintained_is_as_old_as_its_first_snapshot() {
        let info: Maintenance = serde_json::from_str(NEVER).unwrap();
        let now = time("2026-11-22T12:00:00Z");
        assert_eq!(info.due(now, None), None);
        assert_eq!(info.due(now, Some(time("2026-11-22T11:30:00Z"))), None);
        let due = info.due(now, Some(time("2026-11-22T10:00:00Z")));
        assert_eq!(due, Some(Mode::Quick));
        let due = info.due(now, Some(time("2026-11-21T10:00:00Z")));
        assert_eq!(due, Some(Mode::Full));
        assert_eq!(info.next_full(), None);
        assert_eq!(info.last_task(), None);
    }
}
