//! What to run: argv and environment, no shell.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Where a child's stdin comes from.
pub enum Input {
    Null,
    Pipe(OwnedFd),
}

/// Where a child's stdout goes.
pub enum Output {
    Null,
    /// To be read by us.
    Captured,
    Pipe(OwnedFd),
}

pub struct Spec {
    pub program: OsString,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
    pub input: Input,
    pub output: Output,
    pub errors: Option<OwnedFd>,
    pub niceness: i32,
}

impl Spec {
    /// A program by its absolute path. Its environment is `PATH`, `LC_ALL=C` and what [`Spec::env`] adds.
    pub fn new(program: &Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_else(|| super::find::DEFAULT_PATH.into());
        Self {
            program: program.into(),
            args: Vec::new(),
            env: vec![("PATH".into(), path), ("LC_ALL".into(), "C".into())],
            input: Input::Null,
            output: Output::Null,
            errors: None,
            niceness: 0,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The place for secrets: the environment of a process is readable by its user and root alone.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Sends stderr there instead of draining it into a bounded tail.
    pub fn errors(mut self, errors: OwnedFd) -> Self {
        self.errors = Some(errors);
        self
    }

    /// Lets others have the CPU first: 0 as we are, up to 19.
    pub fn niceness(mut self, niceness: i32) -> Self {
        self.niceness = niceness;
        self
    }

    /// The command as an error names it: program and the first words that are no flags.
    pub fn display(&self) -> String {
        let name = Path::new(&self.program)
            .file_name()
            .unwrap_or(&self.program)
            .to_string_lossy()
            .into_owned();
        let words = self
            .args
            .iter()
            .map(|arg| arg.to_string_lossy())
            .filter(|arg| !arg.starts_with('-'))
            .take(2);
        let mut text = std::iter::once(name.into())
            .chain(words)
            .collect::<Vec<_>>()
            .join(" ");
        text.push_str(" …");
        text
    }
}
