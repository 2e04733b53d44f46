//! When the daemon's next backup is due. Durations are taken from a clock that goes on while the host sleeps and that cannot be set; the
//! clock on the wall only counts across a reboot, where there is no other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::base::files;
use crate::base::paths::Paths;
use crate::error::Result;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    pub wall: DateTime<Utc>,
    /// Since the host was booted, sleep included.
    pub since_boot: Duration,
}

impl Moment {
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self {
            wall: Utc::now(),
            since_boot: Duration::new(seconds, nanoseconds),
        }
    }
}

/// When the last run began, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    Never,
    /// Since this boot: no clock that anybody sets matters.
    ThisBoot(Moment),
    /// Before this boot.
    Earlier(DateTime<Utc>),
}

/// How long to wait for the next run; zero when it is due. However many intervals were missed, one run makes up for them.
pub fn wait(last: Last, now: Moment, interval: Duration) -> Duration {
    let elapsed = match last {
        Last::Never => return Duration::ZERO,
        Last::ThisBoot(last) => now.since_boot.saturating_sub(last.since_boot),
        // A clock that was set back says nothing: no more than one interval is waited.
        Last::Earlier(wall) => (now.wall - wall).to_std().unwrap_or_default(),
    };
    interval.saturating_sub(elapsed)
}

/// The moment of the last run, on the disk: one file that a reboot takes away, one that it leaves.
pub struct Record {
    volatile: PathBuf,
    lasting: PathBuf,
}

impl Record {
    pub fn of(paths: &Paths) -> Self {
        Self {
            volatile: paths.runtime.join("daemon.json"),
            lasting: paths.state.join("daemon.json"),
        }
    }

    /// `reported` is when the newest report says that a run began: for a daemon that never ran here.
    pub fn read(&self, now: Moment, reported: Option<DateTime<Utc>>) -> Last {
        let read = |path: &Path| -> Option<Moment> {
            serde_json::from_slice(&std::fs::read(path).ok()?).ok()
        };
        match (read(&self.volatile), read(&self.lasting), reported) {
            // A runtime directory that outlived the reboot holds a moment that has not come yet.
            (Some(last), _, _) if last.since_boot <= now.since_boot => Last::ThisBoot(last),
            (_, Some(last), _) => Last::Earlier(last.wall),
            (_, _, Some(wall)) => Last::Earlier(wall),
            _ => Last::Never,
        }
    }

    /// Before the run begins: one that takes the host down must not be begun again at once.
    pub fn write(&self, moment: Moment) -> Result<()> {
        let text = serde_json::to_vec(&moment)?;
        files::write(&self.lasting, &text)?;
        files::write(&self.volatile, &text)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(3600);

    fn moment(wall: i64, since_boot: u64) -> Moment {
        Moment {
            wall: DateTime::from_timestamp(wall, 0).unwrap(),
            since_boot: Duration::from_secs(since_boot),
        }
    }

    #[test]
    fn the_first_run_is_due_at_once_and_the_next_an_interval_after_its_start() {
        let start = moment(1_000_000, 50);
        assert_eq!(wait(Last::Never, start, INTERVAL), Duration::ZERO);
        let last = Last::ThisBoot(start);
        assert_eq!(wait(last, start, INTERVAL), INTERVAL);
        let later = moment(1_003_600, 3650);
        assert_eq!(wait(last, later, INTERVAL), Duration::ZERO);
    }

    #[test]
    fn a_restart_of_the_daemon_and_of_the_host_know_the_last_run() {
        let world = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: world.path().join("state"),
            runtime: world.path().join("run"),
            home: world.path().to_owned(),
            credentials: PathBuf::new(),
            recovery_password: PathBuf::new(),
            marks_of_machine: Vec::new(),
        };
        let record = Record::of(&paths);
        let reported = DateTime::from_timestamp(999_000, 0);
        let now = moment(1_000_000, 5000);
        assert_eq!(record.read(now, None), Last::Never);
        assert_eq!(record.read(now, reported), Last::Earlier(reported.unwrap()));
        record.write(now).unwrap();
        assert_eq!(record.read(moment(5, 5001), None), Last::ThisBoot(now));
        let booted = moment(1_000_500, 20);
        assert_eq!(record.read(booted, None), Last::Earlier(now.wall));
        std::fs::remove_file(paths.runtime.join("daemon.json")).unwrap();
        assert_eq!(record.read(now, None), Last::Earlier(now.wall));
        assert_eq!(
            wait(record.read(booted, None), booted, INTERVAL),
            Duration::from_secs(3100)
        );
        // Booted with a clock that has lost its time.
        assert_eq!(
            wait(Last::Earlier(now.wall), moment(0, 20), INTERVAL),
            INTERVAL
        );
    }

    proptest! {
        // Each run is synced to the disk.
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Time passes, the wall clock is set to anything, the daemon is restarted: between two runs lies an interval, and no more than
        /// an interval and what was slept through.
        #[test]
        fn no_jump_of_the_clock_doubles_or_skips_a_run(
            steps in prop::collection::vec((1u64..7200, -200_000i64..200_000, any::<bool>()), 1..40)
        ) {
            let world = tempfile::tempdir().unwrap();
            let paths = Paths {
                state: world.path().join("state"),
                runtime: world.path().join("run"),
                home: world.path().to_owned(),
                credentials: PathBuf::new(),
                recovery_password: PathBuf::new(),
                marks_of_machine: Vec::new(),
            };
            let record = Record::of(&paths);
            let mut now = moment(1_700_000_000, 10);
            let mut last = record.read(now, None);
            let mut ran_at: Option<Duration> = None;
            for (passes, jump, restarts) in steps {
                let before = now.since_boot;
                if wait(last, now, INTERVAL).is_zero() {
                    if let Some(ran_at) = ran_at {
                        prop_assert!(now.since_boot - ran_at >= INTERVAL, "twice in an interval");
                    }
                    record.write(now).unwrap();
                    last = Last::ThisBoot(now);
                    ran_at = Some(now.since_boot);
                } else if let Some(ran_at) = ran_at {
                    prop_assert!(before - ran_at < INTERVAL, "an interval was skipped");
                }
                now.since_boot += Duration::from_secs(passes);
                now.wall += TimeDelta::seconds(passes.cast_signed() + jump);
                if restarts {
                    last = record.read(now, None);
                }
            }
        }
    }
}
