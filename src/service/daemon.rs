//! The daemon: waits, backs up when it is time, and goes on whatever the result is. Only a signal ends it.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::sleep;
use tracing::info;

use super::backup::back_up;
use super::retry::{self, Look, Operator, Pending};
use super::schedule::{self, Last, Moment, Record};
use super::{install, units, watchdog};
use crate::backup::Asked;
use crate::base::heartbeat;
use crate::base::lock::Lock;
use crate::config::Loaded;
use crate::context::Context;
use crate::drill;
use crate::drivers::systemd::notify;
use crate::drivers::tool::{Child, Spec};
use crate::error::{Exit, Result, exit_of, render};
use crate::logging;
use crate::model::report::RunReport;
use crate::recovery;
use crate::reports::drills::Drills;
use crate::reports::past::{self, Reports};

/// How often the clock is read: a timer of ours stands still while the host sleeps.
const LOOK: Duration = Duration::from_secs(30);
/// When another process held the lock.
const TRY_AGAIN: Duration = Duration::from_secs(60);

struct Daemon<'a> {
    cx: &'a Context,
    /// The newest that was good.
    loaded: Loaded,
    interval: Option<Duration>,
    record: Record,
    last: Last,
    status: String,
    /// When it was last looked whether a pending backup can be made.
    looked_at: Option<Moment>,
    /// When it was last looked whether somebody is to be told something.
    told_at: Option<Moment>,
    /// The last that was tried left containers stopped.
    is_down: bool,
    /// In a process of its own: a backup that is due does not wait for it.
    drill: Option<Child>,
    /// When it was last looked whether one is due.
    drilled_at: Option<Moment>,
}

/// Why a backup begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// It is time.
    Due,
    /// One that did not reach the repository is made up for.
    Pending,
}

/// Runs until a signal ends it; the exit code is that of the signal, or 18.
pub async fn run(cx: &Context, interval: Option<Duration>) -> Result<u8> {
    let loaded = cx.config()?;
    let record = Record::of(&cx.paths);
    let last = record.read(Moment::now(), last_reported(&loaded));
    let mut daemon = Daemon {
        cx,
        loaded,
        interval,
        record,
        last,
        status: idle(interval),
        looked_at: None,
        told_at: None,
        is_down: false,
        drill: None,
        drilled_at: None,
    };
    notify::ready(&daemon.status);
    cx.ui.say(format!("Ready. {}", daemon.status));
    info!(target: logging::FILE, "ready: {}", daemon.status);
    daemon.warn_of_old_units();
    tokio::select! {
        // In this order: what ends the work is told first.
        biased;
        () = say_stopping(cx) => {}
        () = watchdog::answer() => {}
        () = daemon.work() => {}
    }
    daemon.end_drill().await;
    notify::flush();
    let exit = if daemon.is_down {
        Exit::StillStopped
    } else {
        cx.shutdown.exit()
    };
    Ok(exit.code())
}

/// Tells systemd at once; the work ends in its own time.
async fn say_stopping(cx: &Context) {
    cx.shutdown.asked().await;
    notify::stopping();
    std::future::pending().await
}

fn idle(interval: Option<Duration>) -> String {
    match interval {
        None => "Idle: backups are started by the timer or manually".to_owned(),
        Some(interval) => format!("Backs up every {} minutes", interval.as_secs() / 60),
    }
}

fn last_reported(loaded: &Loaded) -> Option<chrono::DateTime<chrono::Utc>> {
    let mut reports = Reports::newest_first(&past::folder(&loaded.config)).ok()?;
    reports.find_map(|(_, report)| Some(report.ok()?.started_at))
}

impl Daemon<'_> {
    async fn work(&mut self) {
        self.recover().await;
        let mut reloads = 0;
        loop {
            let pause = self.pause();
            tokio::select! {
                biased;
                () = self.cx.shutdown.asked() => return,
                count = self.cx.shutdown.reload_asked(reloads) => {
                    reloads = count;
                    self.reload();
                }
                () = sleep(pause.unwrap_or(LOOK).min(LOOK).min(retry::interval())) => {}
            }
            self.drill_if_due().await;
            match self.pause() {
                _ if self.cx.shutdown.is_asked() => {}
                // Whoever makes the backups makes up for them.
                None => {}
                Some(pause) if pause.is_zero() => self.back_up(Reason::Due).await,
                Some(_) => self.make_up().await,
            }
            self.tell_what_is_wrong().await;
        }
    }

    /// For a backup that did not reach the repository, until the next one is due.
    async fn make_up(&mut self) {
        let now = Moment::now();
        if is_soon(self.looked_at, now) {
            return;
        }
        self.looked_at = Some(now);
        match retry::look(self.cx, &self.loaded.config).await {
            Ok(Look::Wait) => {}
            Ok(Look::Now(_)) => self.back_up(Reason::Pending).await,
            Ok(Look::GivenUp(error)) => {
                self.cx.ui.error(&render(&error));
                retry::tell_given_up(self.cx, &self.loaded.config, &error).await;
                self.tell(format!("Given up: {error}"));
            }
            Err(error) => self.cx.ui.warn(format!(
                "a backup may be pending, which cannot be found out: {error:#}"
            )),
        }
    }

    /// What no run tells: that one was killed, or that none comes. Where others make the backups it is theirs to look for that.
    async fn tell_what_is_wrong(&mut self) {
        let now = Moment::now();
        if is_soon(self.told_at, now) {
            return;
        }
        self.told_at = Some(now);
        let Some(interval) = self.interval else {
            return;
        };
        let interval = std::future::ready(TimeDelta::from_std(interval).ok());
        let telling = crate::notify::look(self.cx, &self.loaded.config, None, interval);
        if let Err(error) = self.cx.shutdown.cut("the messages", telling).await
            && !self.cx.shutdown.is_asked()
        {
            self.cx
                .ui
                .warn(format!("a message was not sent: {error:#}"));
        }
    }

    /// Until the next backup; `None` when others make them.
    fn pause(&self) -> Option<Duration> {
        let interval = self.interval?;
        Some(schedule::wait(self.last, Moment::now(), interval))
    }

    /// What an interrupted run left down. A run that is at work has done it.
    async fn recover(&mut self) {
        let Ok(_lock) = Lock::take(&self.cx.paths.runtime, "daemon") else {
            return;
        };
        let _patience = heartbeat::allow(self.loaded.config.backup.stall_timeout);
        if let Err(error) = recovery::bring_up_all(self.cx).await {
            self.failed(&error);
            self.tell(format!("Recovery failed: {error}"));
        }
        if let Err(error) = drill::remove_killed(&self.cx.paths).await {
            self.cx.ui.warn(format!(
                "an interrupted drill is not removed yet: {error:#}"
            ));
        }
    }

    /// Under systemd a timer does it: our unit may not write where Docker has its volumes.
    async fn drill_if_due(&mut self) {
        if let Some(child) = &mut self.drill {
            let Ok(ended) = tokio::time::timeout(Duration::ZERO, child.wait()).await else {
                return;
            };
            self.drill = None;
            match ended {
                Ok(ended) if ended.status.success() => {}
                Ok(ended) => self
                    .cx
                    .ui
                    .warn(format!("{}: {}", ended.describe(), ended.stderr)),
                Err(error) => self.cx.ui.warn(format!("{error:#}")),
            }
        }
        let now = Moment::now();
        let is_soon =
            |at: &Moment| now.since_boot.saturating_sub(at.since_boot) < retry::interval();
        if notify::is_heard() || self.drilled_at.as_ref().is_some_and(is_soon) {
            return;
        }
        self.drilled_at = Some(now);
        let known = Drills::load(&self.cx.paths.drills());
        if drill::is_due(&self.loaded.config, &known, now.wall) {
            match self.begin_drill() {
                Ok(child) => self.drill = Some(child),
                Err(error) => self.cx.ui.warn(format!("no drill is made: {error:#}")),
            }
        }
    }

    fn begin_drill(&self) -> Result<Child> {
        let spec = Spec::new(&units::own_program()?)
            .arg("--config")
            .arg(&self.loaded.path)
            .args(["--quiet", "drill", "--due"]);
        // It is what we are.
        Child::spawn(std::env::vars_os().fold(spec, |spec, (name, value)| spec.env(name, value)))
    }

    /// A daemon that ends leaves no copy running.
    async fn end_drill(&mut self) {
        let Some(mut child) = self.drill.take() else {
            return;
        };
        let ended = async {
            child.killed().await?;
            drill::remove_killed(&self.cx.paths).await
        };
        if let Err(error) = ended.await {
            self.cx.ui.warn(format!(
                "an interrupted drill is not removed yet: {error:#}"
            ));
        }
    }

    fn reload(&mut self) {
        notify::reloading();
        if self.read_again() {
            self.cx.ui.say("The configuration was read again");
            info!(target: logging::FILE, "the configuration was read again");
        }
        self.warn_of_old_units();
        notify::ready(&self.status);
    }

    /// Whether it is good; a broken one changes nothing.
    fn read_again(&mut self) -> bool {
        match self.cx.config_again() {
            Ok(loaded) => {
                self.loaded = loaded;
                true
            }
            Err(error) => {
                self.cx.ui.error(&render(&error));
                self.cx
                    .ui
                    .warn("the configuration of before stays in force");
                false
            }
        }
    }

    async fn back_up(&mut self, reason: Reason) {
        let lock = match Lock::take(&self.cx.paths.runtime, "daemon") {
            Ok(lock) => lock,
            // The other run takes care of it, or it is looked again.
            Err(_) if reason == Reason::Pending => return,
            Err(error) => {
                self.cx
                    .ui
                    .warn(format!("{error:#}; the backup is tried again in a minute"));
                self.tell(format!("Waiting: {error:#}"));
                tokio::select! {
                    () = self.cx.shutdown.asked() => {}
                    () = sleep(TRY_AGAIN) => {}
                }
                return;
            }
        };
        // The password may have been changed since.
        self.read_again();
        let now = Moment::now();
        match reason {
            Reason::Due => self.note_start(now),
            // The next one is due as if this one had not been late.
            Reason::Pending if !self.claim() => return,
            Reason::Pending => {}
        }
        self.tell("Running backup".to_owned());
        let result = {
            let _patience = heartbeat::allow(self.loaded.config.backup.stall_timeout);
            let (loaded, asked) = (self.loaded.clone(), Asked::default());
            back_up(self.cx, loaded, lock, asked, Operator::Away).await
        };
        let at = now.wall.format("%Y-%m-%d %H:%M:%S UTC");
        self.looked_at = Some(Moment::now());
        match result {
            Ok(report) => {
                self.is_down = report.exit_code == Exit::StillStopped.code();
                self.tell(format!("Last backup: {at}{}", outcome(&report)));
            }
            Err(error) => {
                self.failed(&error);
                self.tell(format!("Last backup: {at}, failed: {error}"));
            }
        }
    }

    fn note_start(&mut self, now: Moment) {
        if let Err(error) = self.record.write(now) {
            self.cx.ui.warn(format!(
                "after a restart the time of the last backup will be unknown: {error:#}"
            ));
        }
        self.last = Last::ThisBoot(now);
    }

    /// Whether a backup is pending still: another run may have made it before the lock was ours.
    fn claim(&self) -> bool {
        let (paths, profile) = (&self.cx.paths, self.loaded.config.profile());
        let Some(pending) = Pending::read(paths, profile) else {
            return false;
        };
        let claimed = pending.claim(paths, profile);
        if let Err(error) = &claimed {
            self.cx
                .ui
                .warn(format!("a pending backup is not made: {error:#}"));
        }
        claimed.is_ok()
    }

    fn failed(&mut self, error: &anyhow::Error) {
        self.is_down = exit_of(error) == Exit::StillStopped;
        self.cx.ui.error(&render(error));
    }

    fn tell(&mut self, status: String) {
        notify::status(&status);
        self.status = status;
    }

    /// Only where it matters: under systemd.
    fn warn_of_old_units(&self) {
        if !notify::is_heard() {
            return;
        }
        let units = units::of(self.cx, &self.loaded).unwrap_or_default();
        for path in install::stale(&units) {
            self.cx.ui.warn(format!(
                "`{}` is older than the configuration: run `kopi-docka write-units`",
                path.display()
            ));
        }
    }
}

/// Whether `at` is so near that it is not looked again.
fn is_soon(at: Option<Moment>, now: Moment) -> bool {
    at.is_some_and(|at| now.since_boot.saturating_sub(at.since_boot) < retry::interval())
}

fn outcome(report: &RunReport) -> String {
    let good = report.units.iter().filter(|unit| unit.is_good()).count();
    if report.exit_code == 0 {
        return String::new();
    }
    format!(
        ", {good} of {} units saved well (exit code {}); see `kopi-docka history --failed`",
        report.units.len(),
        report.exit_code
    )
}
