//! A program whose output nobody reads: a pager that waits for a key, a consumer that hangs.

use std::io::{PipeReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal};

use super::poll;

pub struct Unread {
    line: String,
    child: Child,
    stdout: PipeReader,
    stderr: PipeReader,
    filled: usize,
}

impl Unread {
    pub(super) fn start(mut command: Command, line: String) -> Self {
        let (stdout, mut to_stdout) = std::io::pipe().unwrap();
        let (stderr, mut to_stderr) = std::io::pipe().unwrap();
        let mut filled = 0;
        for pipe in [&mut to_stdout, &mut to_stderr] {
            let flags = fcntl_getfl(&*pipe).unwrap();
            fcntl_setfl(&*pipe, flags | OFlags::NONBLOCK).unwrap();
            filled = 0;
            while let Ok(count) = pipe.write(&[b'\n'; 4096]) {
                filled += count;
            }
            fcntl_setfl(&*pipe, flags).unwrap();
        }
        let child = command
            .stdout(to_stdout)
            .stderr(to_stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        Self {
            line,
            child,
            stdout,
            stderr,
            filled,
        }
    }

    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended with `code`, and says how long that took.
    #[track_caller]
    pub fn code(&mut self, code: i32, limit: Duration) -> Duration {
        let began = Instant::now();
        let ended = poll::within(limit, || self.child.try_wait().unwrap());
        match ended {
            Some(status) => assert_eq!(
                (status.code(), status.signal()),
                (Some(code), None),
                "{}",
                self.line
            ),
            None => panic!("{} still runs after {limit:?}", self.line),
        }
        began.elapsed()
    }

    /// Reads all of stdout and stderr, now.
    pub fn read(&mut self) -> (String, String) {
        let filled = self.filled;
        let mut stderr = self.stderr.try_clone().unwrap();
        let errors = std::thread::spawn(move || rest(&mut stderr, filled));
        let out = rest(&mut self.stdout, filled);
        (out, errors.join().unwrap())
    }
}

/// What comes after the first `filled` bytes.
fn rest(pipe: &mut PipeReader, filled: usize) -> String {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes.split_off(filled)).unwrap()
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
