//! Programs put before the real ones, and the processes that a run has.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::bed::{find, path};
use super::poll;
use super::run::Run;
use super::world::World;

const PROCESS_TIMEOUT: Duration = Duration::from_secs(30);

impl World {
    /// Puts a shell script before `program`, which it finds as `$REAL`, and returns the `PATH` that has it. A second one for the
    /// same program replaces the first.
    #[track_caller]
    pub fn stand_in(&self, program: &str, script: &str) -> OsString {
        let real = find(program).unwrap_or_else(|| panic!("there is no `{program}` on PATH"));
        let dir = self.dir("bin");
        // Not by this process: a test that forks meanwhile would hold it open for writing, and nobody could execute it.
        Run::new("sh")
            .args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(dir.join(program))
            .env("PATH", path())
            .stdin(format!("#!/bin/sh\nREAL='{}'\n{script}\n", real.display()))
            .ok();
        let mut with = OsString::from(dir);
        with.push(":");
        with.push(path());
        with
    }

    /// Waits for a process of this world whose command line has all of `words`, and returns its id.
    #[track_caller]
    pub fn process(&self, words: &[&str]) -> Process {
        let found = poll::within(PROCESS_TIMEOUT, || {
            let mut all = self.processes().into_iter();
            all.find(|(_, line)| words.iter().all(|word| line.contains(word)))
        });
        match found {
            Some((id, line)) => Process { id, line },
            None => panic!(
                "no process has {words:?} on its command line; there are {:#?}",
                self.processes()
            ),
        }
    }
}

/// A process that a test did not start itself.
pub struct Process {
    pub id: i32,
    line: String,
}

impl Process {
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.id).unwrap(), signal)
            .unwrap_or_else(|error| panic!("cannot signal `{}`: {error}", self.line));
    }
}
