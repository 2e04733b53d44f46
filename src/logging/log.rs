//! The log file, standard error and the journal: what goes where.

use super::journal;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, error, info, warn};
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use super::journal::Journal;
use super::line::Lines;
use super::writer::Writer;
use crate::config::{LogLevel, Logging};

/// The target of records that go to the file alone: people at a terminal see the same in another form.
pub const FILE: &str = "log_file";

/// The target of records that go to the journal alone. A field in capitals is for the journal alone as well.
pub const JOURNAL: &str = "journal";

/// The log file, when there is one.
pub struct Log {
    /// `None`: this command does not write into it.
    command: Option<&'static str>,
    asked: Option<LevelFilter>,
    is_verbose: bool,
    is_begun: AtomicBool,
    open: Arc<OnceLock<Open>>,
    /// When stderr ends there.
    journal: Option<Journal>,
}

pub struct Open {
    level: LevelFilter,
    /// `backup[1234]`
    pub who: String,
    pub writer: Writer,
}

/// What the command line asks of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub level: Option<LogLevel>,
    pub verbose: bool,
    pub quiet: bool,
}

/// `stderr` shows what `--log-level` says; without it warnings, with `--verbose` also infos. `command` is what its records are
/// called in the log file; without one there are none.
pub fn init<W>(options: Options, command: Option<&'static str>, stderr: W) -> Log
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let asked = options.level.map(filter);
    let level = asked.unwrap_or(if options.verbose {
        LevelFilter::INFO
    } else {
        LevelFilter::WARN
    });
    let journal = journal::is_stderr()
        .then(|| Journal::start(command).ok())
        .flatten();
    // The reader of the journal is not at a terminal: the phases are there without being asked for.
    let journal_level = match asked {
        None if command.is_some() && !options.quiet => LevelFilter::INFO,
        _ => level,
    };
    let to_journal = journal.clone().map(|journal| {
        journal.with_filter(dynamic_filter_fn(move |metadata, _| {
            (is_ours(metadata) || metadata.target() == JOURNAL)
                && (metadata.is_span() || *metadata.level() <= journal_level)
        }))
    });
    let to_stderr = journal.is_none().then(|| {
        fmt::layer()
            .with_writer(stderr)
            .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
            .with_target(false)
            .with_filter(EnvFilter::new(format!("off,kopi_docka={level}")))
    });
    let open = Arc::new(OnceLock::new());
    let known = Arc::clone(&open);
    let wanted = dynamic_filter_fn(move |metadata, _| {
        let level = known.get().map(|open: &Open| open.level);
        // Spans say whose records these are, whatever their level.
        is_ours(metadata)
            && level.is_some_and(|level| metadata.is_span() || *metadata.level() <= level)
    })
    .with_callsite_filter(|metadata| {
        if is_ours(metadata) {
            Interest::sometimes()
        } else {
            Interest::never()
        }
    });
    tracing_subscriber::registry()
        .with(to_stderr)
        .with(to_journal)
        .with(Lines::new(Arc::clone(&open)).with_filter(wanted))
        .init();
    Log {
        command,
        asked,
        is_verbose: options.verbose,
        is_begun: AtomicBool::new(false),
        open,
        journal,
    }
}

/// Into the journal alone.
pub fn note_said(text: &str) {
    info!(target: JOURNAL, "{text}");
}

/// Into the file, and the journal.
pub fn note_warning(text: &str) {
    warn!(target: FILE, "{text}");
}

/// Into the file and the journal, line by line: `text` is as [`crate::error::render`] has it.
pub fn note_error(text: &str) {
    for line in text.lines() {
        error!(target: FILE, "{}", line.trim_start_matches("error: "));
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target() == FILE || metadata.target().starts_with("kopi_docka")
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl Log {
    /// From here on records go into the file too, at the configured level unless the command line asks for another one.
    /// What keeps them from it is for the operator to know, and no more.
    pub fn begin(&self, logging: &Logging) -> Result<(), String> {
        let (Some(command), Some(path)) = (self.command, &logging.file) else {
            return Ok(());
        };
        // A configuration may be read several times, and its troubles are told once.
        if self.is_begun.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let configured = filter(logging.level);
        let level = match self.asked {
            Some(asked) => asked,
            None if self.is_verbose => configured.max(LevelFilter::INFO),
            None => configured,
        };
        let writer = Writer::start(path, logging.max_size_mb << 20, logging.backup_count)?;
        let who = format!("{command}[{}]", std::process::id());
        let _ = self.open.set(Open { level, who, writer });
        info!(target: FILE, "kopi-docka {} begins", env!("CARGO_PKG_VERSION"));
        Ok(())
    }

    /// Waits, not for long, until everything is written. An error is the first that came in the way.
    pub fn end(&self) -> Result<(), String> {
        if let Some(journal) = &self.journal {
            journal.end();
        }
        self.open.get().map_or(Ok(()), |open| open.writer.end())
    }
}
