//! The program at one of its steps: held there, or killed.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::poll;
use super::run::{Run, Running};
use super::world::World;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A run that waits at the beginning of a step. Nothing of it goes on before [`Held::release`].
#[must_use = "it waits until it is released"]
pub struct Held {
    pub running: Running,
    file: PathBuf,
}

impl World {
    /// `backup` of `units`, with a fault as in `KOPI_DOCKA_FAULT`.
    #[track_caller]
    pub fn backup_with_fault(&self, units: &[&str], fault: &str) -> Run {
        self.quiet_backup(units).env("KOPI_DOCKA_FAULT", fault)
    }

    /// `backup` of `units`, which is killed when it has come to `step`.
    #[track_caller]
    pub fn killed_at(&self, units: &[&str], step: &str) {
        let killed = self
            .backup_with_fault(units, &format!("kill@{step}"))
            .stdout_any()
            .stderr_any()
            .run();
        assert_eq!(killed.signal, Some(9), "{killed}");
    }

    #[track_caller]
    fn quiet_backup(&self, units: &[&str]) -> Run {
        let mut args = vec!["--quiet", "backup"];
        for unit in units {
            args.extend(["--unit", *unit]);
        }
        self.kd(&args)
    }

    /// Starts `backup` of `units`, expecting what `expecting` says, and returns when it has come to `step`.
    #[track_caller]
    pub fn hold_backup(
        &self,
        units: &[&str],
        step: &str,
        expecting: impl FnOnce(Run) -> Run,
    ) -> Held {
        self.hold(step, expecting(self.quiet_backup(units)))
    }

    /// Starts `run` and returns when it has come to `step`.
    #[track_caller]
    pub fn hold(&self, step: &str, run: Run) -> Held {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let file = self.path(format!("held-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let fault = format!("hold@{step}={}", file.display());
        let running = run.env("KOPI_DOCKA_FAULT", fault).spawn();
        let mut held = Held { running, file };
        held.wait();
        held
    }

    /// The stop records that there are.
    pub fn stop_records(&self) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.path("state/stopped")) else {
            return Vec::new();
        };
        entries
            .map(|entry| {
                let path = entry.unwrap().path();
                // One that is just being replaced may be gone.
                let bytes = fs::read(&path).unwrap_or_default();
                serde_json::from_slice(&bytes).unwrap_or(Value::Null)
            })
            .collect()
    }

    /// Waits until no process of this world is left but those in its containers.
    #[track_caller]
    pub fn until_no_process_is_left(&self) {
        if poll::within(TIMEOUT, || self.processes().is_empty().then_some(())).is_none() {
            panic!("still there: {:?}", self.processes());
        }
    }

    /// The backup ids of all points that are listed as whole, each with its grade.
    #[track_caller]
    pub fn whole_points(&self) -> Vec<(String, String)> {
        let points = self.points();
        let text = |point: &Value, name: &str| point[name].as_str().unwrap_or_default().to_owned();
        let mut whole: Vec<_> = points["points"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|point| point["state"] == "whole")
            .map(|point| (text(point, "backup_id"), text(point, "grade")))
            .collect();
        whole.sort();
        whole
    }
}

impl Held {
    fn wait(&mut self) {
        let file = self.file.clone();
        self.running
            .until("it to come to its step", |_| file.exists().then_some(()));
    }

    /// To the program alone.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.running.signal(signal);
    }

    /// Lets it go on.
    pub fn release(self) -> Running {
        fs::remove_file(&self.file).unwrap();
        self.running
    }

    /// Lets it go on until it comes to the same step of the next unit.
    pub fn release_until_next(mut self) -> Self {
        fs::remove_file(&self.file).unwrap();
        self.wait();
        self
    }
}
