//! What is printed, and for whom.

use super::printer;
use super::unnamed;
use std::io::IsTerminal as _;

use serde::Serialize;

use super::color::ColorChoice;
use super::printer::Keep;
use super::stream::Stream;
use crate::error::{Exit, Failure, Result};
use crate::logging::{self, journal};

/// What the command line asks of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    pub color: ColorChoice,
}

#[derive(Clone, Debug)]
pub struct Ui {
    /// `--json`: answers are JSON documents, or one JSON event a line.
    pub json: bool,
    pub quiet: bool,
    pub verbose: bool,
    color: bool,
    /// What would be printed on stderr goes to systemd's journal, as records.
    to_journal: bool,
}

impl Ui {
    pub fn new(options: Options) -> Self {
        Self {
            json: options.json,
            quiet: options.quiet,
            verbose: options.verbose,
            color: options.color.is_on(),
            to_journal: journal::is_stderr(),
        }
    }

    /// Says only what is wrong.
    pub fn quiet() -> Self {
        Self::new(Options {
            quiet: true,
            ..Options::default()
        })
    }

    /// Whether answers are for people at all: the journal has the same as records.
    pub fn answers_people(&self) -> bool {
        !self.json && !self.quiet && !journal::is_stdout()
    }

    /// Whether the output is read by a person, on a terminal or from cron.
    pub fn is_watched(&self) -> bool {
        !self.json && !self.quiet && !self.to_journal
    }

    /// Whether bars may be drawn on stderr.
    pub fn is_live(&self) -> bool {
        !self.json && !self.quiet && std::io::stderr().is_terminal()
    }

    /// A line of the answer, on stdout.
    pub fn answer(&self, text: impl AsRef<str>) {
        print_line(Stream::Out, Keep::Always, &self.told(text.as_ref()));
    }

    /// The whole answer as one JSON document.
    pub fn answer_json(&self, document: &impl Serialize) {
        if let Ok(text) = serde_json::to_string_pretty(document) {
            print_line(Stream::Out, Keep::Always, &text);
        }
    }

    /// One event of a long command under `--json`: a single line.
    pub fn event(&self, event: &impl Serialize) {
        if self.json
            && let Ok(text) = serde_json::to_string(event)
        {
            print_line(Stream::Out, Keep::EventWhileFew, &text);
        }
    }

    /// A line of the conversation; silent under `--quiet` and `--json`.
    pub fn say(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            let text = self.told(text.as_ref());
            if self.to_journal {
                logging::note_said(&text);
            }
            self.write_error(&text);
        }
    }

    /// What has to be seen once, also under `--quiet`. No log has it.
    pub fn show_secret(&self, text: &str) {
        if !self.to_journal {
            print_line(Stream::Error, Keep::Always, text);
        }
    }

    /// An answer that is a secret, on stdout, wherever that leads to but the journal. No log has it.
    pub fn answer_secret(&self, text: &str) -> Result<()> {
        if journal::keeps_stdout() {
            let what = "the answer is a secret, and stdout ends in the journal";
            return Err(Failure::new(Exit::Usage, what)
                .hint("run this in a shell, or pipe it to a printer")
                .into());
        }
        print_line(Stream::Out, Keep::Always, text);
        Ok(())
    }

    /// The log file has it as well.
    pub fn warn(&self, text: impl AsRef<str>) {
        let text = self.told(text.as_ref());
        logging::note_warning(&text);
        self.write_error(&format!("{} {text}", self.paint("warning:", "33")));
    }

    /// An error as rendered by [`crate::error::render`]. The log file has it as well.
    pub fn error(&self, text: &str) {
        let text = &self.told(text);
        logging::note_error(text);
        let text = match text.strip_prefix("error:") {
            Some(rest) => format!("{}{rest}", self.paint("error:", "1;31")),
            None => text.to_owned(),
        };
        self.write_error(text.trim_end());
    }

    /// For people.
    fn told(&self, text: &str) -> String {
        if self.json {
            text.to_owned()
        } else {
            unnamed::told(text)
        }
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The journal has it from the records.
    fn write_error(&self, text: &str) {
        if self.to_journal {
            return;
        }
        print_line(Stream::Error, Keep::WhileFew, text);
    }
}

fn print_line(to: Stream, keep: Keep, text: &str) {
    printer::print(to, keep, format!("{text}\n").into_bytes());
}
