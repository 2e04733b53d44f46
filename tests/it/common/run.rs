//! Running a program and saying what is expected of it. Every stream that is not mentioned must be empty.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::terminal::Terminal;
use super::unread::Unread;
use super::{causes, poll};

const TIMEOUT: Duration = Duration::from_secs(120);
/// How long after its end a program's streams may be held open by a child of its own.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(5);

/// A program, its arguments, and what is expected of it. Nothing runs before [`ok`](Self::ok), [`code`](Self::code),
/// [`json`](Self::json), [`text`](Self::text), [`run`](Self::run) or [`spawn`](Self::spawn).
#[must_use = "nothing has run yet: end with `.ok()`, `.code(n)`, `.json()`, `.text()`, `.run()` or `.spawn()`"]
pub struct Run {
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    stdin: Vec<u8>,
    timeout: Duration,
    expected: Expected,
}

#[derive(Clone, Default)]
struct Expected {
    stdout: Stream,
    stderr: Stream,
}

#[derive(Clone, Default)]
enum Stream {
    #[default]
    Empty,
    Any,
    Contains(Vec<String>),
    Is(String),
}

impl Run {
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            directory: None,
            stdin: Vec::new(),
            timeout: TIMEOUT,
            expected: Expected::default(),
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Another build of the program in its place.
    pub fn program(mut self, program: impl AsRef<OsStr>) -> Self {
        self.program = program.as_ref().to_owned();
        self
    }

    /// Run by `words`, as in `nice -n 5 PROGRAM ARGS…`.
    pub fn under<A: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = A>) -> Self {
        let mut words = words.into_iter().map(|word| word.as_ref().to_owned());
        if let Some(first) = words.next() {
            let program = std::mem::replace(&mut self.program, first);
            self.args.splice(0..0, words.chain([program]));
        }
        self
    }

    /// The environment is what was set here and nothing else. The last of two with one name wins.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.envs.retain(|(other, _)| other != name);
        self
    }

    pub fn directory(mut self, path: impl AsRef<Path>) -> Self {
        self.directory = Some(path.as_ref().to_owned());
        self
    }

    /// Without it stdin is `/dev/null`.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_owned();
        self
    }

    /// After which it is killed, and the test fails. Two minutes unless told.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// stdout must contain `text`; may be said more than once.
    pub fn stdout(mut self, text: impl Into<String>) -> Self {
        self.expected.stdout.contains(text.into());
        self
    }

    pub fn stdout_is(mut self, text: impl Into<String>) -> Self {
        self.expected.stdout = Stream::Is(text.into());
        self
    }

    pub fn stdout_any(mut self) -> Self {
        self.expected.stdout = Stream::Any;
        self
    }

    /// stderr must contain `text`; may be said more than once.
    pub fn stderr(mut self, text: impl Into<String>) -> Self {
        self.expected.stderr.contains(text.into());
        self
    }

    pub fn stderr_is(mut self, text: impl Into<String>) -> Self {
        self.expected.stderr = Stream::Is(text.into());
        self
    }

    pub fn stderr_any(mut self) -> Self {
        self.expected.stderr = Stream::Any;
        self
    }

    /// Runs it; it must exit with 0.
    #[track_caller]
    pub fn ok(self) -> Done {
        self.code(0)
    }

    /// Runs it; it must exit with `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Done {
        self.spawn().code(code)
    }

    /// Runs it; it must exit with 0 and print one JSON value.
    #[track_caller]
    pub fn json(self) -> Value {
        self.stdout_any().ok().json()
    }

    /// Runs it; it must exit with 0. Its stdout, trimmed; stderr may say anything.
    #[track_caller]
    pub fn text(self) -> String {
        self.stdout_any()
            .stderr_any()
            .ok()
            .stdout()
            .trim()
            .to_owned()
    }

    /// Runs it and expects nothing.
    #[track_caller]
    pub fn run(self) -> Done {
        self.spawn().wait()
    }

    /// Starts it on a terminal; nothing is expected of its streams.
    #[track_caller]
    pub fn terminal(self) -> Terminal {
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.envs.clone());
        command.env("TERM", "xterm");
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        Terminal::start(command, self.to_string())
    }

    /// Starts it with stdout and stderr into pipes that are full and that nobody reads.
    #[track_caller]
    pub fn unread(self) -> Unread {
        let line = self.to_string();
        let mut command = Command::new(&self.program);
        command.args(&self.args).env_clear().envs(self.envs);
        command.process_group(0).stdin(Stdio::null());
        Unread::start(command, line)
    }

    /// Starts it, in a process group of its own.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let line = self.to_string();
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.envs)
            .process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.stdin(if self.stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        if let Some(mut stdin) = child.stdin.take() {
            // It may end without reading all of it: its own affair.
            std::thread::spawn(move || drop(stdin.write_all(&self.stdin)));
        }
        Running {
            line,
            started: Instant::now(),
            timeout: self.timeout,
            expected: self.expected,
            stdout: Reader::of(child.stdout.take().unwrap()),
            stderr: Reader::of(child.stderr.take().unwrap()),
            child,
            status: None,
        }
    }
}

/// As it could be typed.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.program.display())?;
        for arg in &self.args {
            let arg = arg.to_string_lossy();
            let plain = !arg.is_empty()
                && arg
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte));
            if plain {
                write!(f, " {arg}")?
            } else {
                write!(f, " '{}'", arg.replace('\'', "'\\''"))?
            }
        }
        Ok(())
    }
}

/// A program that runs. Its group is killed when this is dropped.
pub struct Running {
    line: String,
    started: Instant,
    timeout: Duration,
    expected: Expected,
    stdout: Reader,
    stderr: Reader,
    child: Child,
    status: Option<ExitStatus>,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// To the program alone, as `kill PID` would.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.as_pid(), signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.line));
    }

    /// To its whole group, as a Ctrl-C on a terminal would.
    #[track_caller]
    pub fn signal_group(&self, signal: Signal) {
        rustix::process::kill_process_group(self.as_pid(), signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.line));
    }

    fn as_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    pub fn stdout_so_far(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr_so_far(&self) -> String {
        self.stderr.text()
    }

    /// Waits until stderr contains `text`; panics when the program ends without having said it.
    #[track_caller]
    pub fn until_stderr(&mut self, text: &str) {
        self.until(&format!("{text:?} on stderr"), |running| {
            running.stderr_so_far().contains(text).then_some(())
        });
    }

    /// Waits until stdout contains `text`; panics when the program ends without having said it.
    #[track_caller]
    pub fn until_stdout(&mut self, text: &str) {
        self.until(&format!("{text:?} on stdout"), |running| {
            running.stdout_so_far().contains(text).then_some(())
        });
    }

    /// Waits until `probe` has an answer; panics when the program ends before that.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = self.timeout;
        let answer = poll::within(deadline, || {
            // In this order: what it did last, it did before it ended.
            let ended =
                !self.is_running() && self.stdout.is_finished() && self.stderr.is_finished();
            match probe(self) {
                Some(answer) => Some(Some(answer)),
                None => ended.then_some(None),
            }
        });
        match answer.flatten() {
            Some(answer) => answer,
            None => {
                let ended = !self.is_running();
                self.kill_group();
                let done = self.collect();
                panic!(
                    "waited for {what}, but the program {}\n{done}",
                    if ended { "ended" } else { "took too long" }
                )
            }
        }
    }

    /// Waits; it must exit with 0.
    #[track_caller]
    pub fn ok(self) -> Done {
        self.code(0)
    }

    /// Waits; it must exit with `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Done {
        let expected = self.expected.clone();
        let done = self.wait();
        let mut wrong = Vec::new();
        if done.code != Some(code) {
            wrong.push(format!("it should have exited with {code}"));
        }
        wrong.extend(expected.stdout.wrong("stdout", &done.stdout()));
        wrong.extend(expected.stderr.wrong("stderr", &done.stderr()));
        if done.line.contains(env!("CARGO_BIN_EXE_kopi-docka")) {
            let bare = causes::bare(&done.stderr()).into_iter();
            wrong.extend(bare.map(|text| format!("it does not say what failed where: {text}")));
        }
        assert!(wrong.is_empty(), "{}\n{done}", wrong.join("\n"));
        done
    }

    /// Waits and expects nothing but that it ends in time.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        let left = self.timeout.saturating_sub(self.started.elapsed());
        let ended = poll::within(left, || self.poll());
        if ended.is_none() {
            self.kill_group();
            let done = self.collect();
            panic!(
                "killed, because it still ran after {:?}\n{done}",
                self.timeout
            );
        }
        self.collect()
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status
    }

    fn collect(&mut self) -> Done {
        let status = poll::within(STREAMS_TIMEOUT, || self.poll());
        let took = self.started.elapsed();
        let closed = poll::within(STREAMS_TIMEOUT, || {
            (self.stdout.is_finished() && self.stderr.is_finished()).then_some(())
        });
        Done {
            line: self.line.clone(),
            code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stdout: self.stdout.bytes(),
            stderr: self.stderr.bytes(),
            took,
            streams_held_open: closed.is_none(),
        }
    }

    fn kill_group(&self) {
        let _ = rustix::process::kill_process_group(self.as_pid(), Signal::KILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
        let _ = poll::within(STREAMS_TIMEOUT, || self.poll());
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Done {
    line: String,
    pub code: Option<i32>,
    pub signal: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    pub took: Duration,
    /// By a child that outlived the program.
    pub streams_held_open: bool,
}

impl Done {
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    pub fn stdout_bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// stdout as one JSON value.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{self}"))
    }

    /// stdout as one JSON value a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("not JSON: {line:?}: {error}\n{self}"))
        };
        self.stdout().lines().map(parse).collect()
    }
}

/// Everything that is needed to understand what happened.
impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match (self.code, self.signal) {
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => "has not ended".into(),
        };
        let held = if self.streams_held_open {
            "\n(a child of it still holds its stdout or stderr open)"
        } else {
            ""
        };
        write!(
            f,
            "command: {}\nstatus:  {status} after {:.2?}{held}\n",
            self.line, self.took
        )?;
        write!(
            f,
            "---- stdout ----\n{}\n---- stderr ----\n{}\n----",
            self.stdout().trim_end(),
            self.stderr().trim_end()
        )
    }
}

impl Stream {
    fn contains(&mut self, text: String) {
        match self {
            Self::Contains(texts) => texts.push(text),
            _ => *self = Self::Contains(vec![text]),
        }
    }

    fn wrong(&self, name: &str, is: &str) -> Vec<String> {
        match self {
            Self::Any => Vec::new(),
            Self::Empty if is.is_empty() => Vec::new(),
            Self::Empty => vec![format!("{name} should have been empty")],
            Self::Is(text) if is == text => Vec::new(),
            Self::Is(text) => vec![format!("{name} should have been {text:?}")],
            Self::Contains(texts) => texts
                .iter()
                .filter(|text| !is.contains(*text))
                .map(|text| format!("{name} should have contained {text:?}"))
                .collect(),
        }
    }
}

/// Drains a stream, so that the program never waits for us.
struct Reader {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Reader {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                into.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { bytes, thread }
    }

    fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}
