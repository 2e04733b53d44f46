//! Records for systemd's journal, with fields of their own: `journalctl UNIT=nextcloud`, `journalctl BACKUP_ID=…`.
//!
//! They go over the journal's native socket, one datagram a record (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>), on a thread of
//! their own: a journal that hangs must not keep services down, and a crate that sends from the caller would wait for it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

const SOCKET: &str = "/run/systemd/journal/socket";

/// What streams of services are connected to.
const STDOUT_SOCKET: &str = "/run/systemd/journal/stdout";

/// For a journal that does not answer, at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// A datagram has to fit the socket's buffer; no message of ours is near it, but the words of a program might be.
const LONGEST_VALUE: usize = 48 * 1024;

/// stderr ends in the journal, and the journal can be spoken to: nothing is printed there then, it goes there as records.
pub fn is_stderr() -> bool {
    static IS_IT: OnceLock<bool> = OnceLock::new();
    *IS_IT.get_or_init(|| is_stream(std::io::stderr().as_fd()) && socket().is_ok())
}

/// stdout ends there as well.
pub fn is_stdout() -> bool {
    is_stderr() && is_stream(std::io::stdout().as_fd())
}

/// What is printed on stdout ends in the journal, whether or not that can be spoken to.
pub fn keeps_stdout() -> bool {
    let stdout = std::io::stdout();
    // systemd tells of one stream alone, which may be the other one.
    is_stream(stdout.as_fd()) || leads_to(stdout.as_fd(), Path::new(STDOUT_SOCKET))
}

fn leads_to(stream: BorrowedFd<'_>, socket: &Path) -> bool {
    let peer = stream.try_clone_to_owned();
    let peer = peer.and_then(|stream| UnixStream::from(stream).peer_addr());
    peer.is_ok_and(|peer| peer.as_pathname() == Some(socket))
}

/// systemd tells the device and the inode of the stream that it gave us.
fn is_stream(stream: BorrowedFd<'_>) -> bool {
    let Ok(told) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(stream).is_ok_and(|stat| told == format!("{}:{}", stat.st_dev, stat.st_ino))
}

fn socket() -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(SOCKET)?;
    Ok(socket)
}

enum Message {
    Record(Vec<u8>),
    End(Sender<()>),
}

/// Where records go.
#[derive(Clone)]
pub struct Journal {
    messages: Sender<Message>,
    /// The command, for `OPERATION`.
    operation: Option<&'static str>,
}

impl Journal {
    pub fn start(operation: Option<&'static str>) -> std::io::Result<Self> {
        let mut socket = socket()?;
        let (messages, inbox) = channel();
        let work = move || {
            for message in inbox {
                match message {
                    Message::Record(record) => send(&mut socket, &record),
                    Message::End(answer) => drop(answer.send(())),
                }
            }
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(work)?;
        Ok(Self {
            messages,
            operation,
        })
    }

    /// Waits, not for long, until everything is sent.
    pub fn end(&self) {
        let (sender, answer) = channel();
        let _ = self.messages.send(Message::End(sender));
        let _ = answer.recv_timeout(PATIENCE);
    }
}

/// A journal that was restarted has a new socket. One that takes nothing at all is nobody's to tell: this is where we would.
fn send(to: &mut UnixDatagram, record: &[u8]) {
    if to.send(record).is_err()
        && let Ok(again) = socket()
    {
        *to = again;
        let _ = to.send(record);
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let spans = context.event_scope(event).into_iter();
        for span in spans.flat_map(|scope| scope.from_root()) {
            if let Some(Fields(more)) = span.extensions().get() {
                fields.0.extend(more.iter().cloned());
            }
        }
        // A daemon's backup is a backup.
        let is_of_run = fields.0.iter().any(|(name, _)| name == "BACKUP_ID");
        let operation = if is_of_run {
            Some("backup")
        } else {
            self.operation
        };
        if let Some(operation) = operation {
            fields.put("OPERATION", operation.to_owned());
        }
        fields.put("SYSLOG_IDENTIFIER", "kopi-docka".to_owned());
        fields.put("PRIORITY", priority(*event.metadata().level()).to_owned());
        let _ = self.messages.send(Message::Record(encoded(&fields.0)));
    }
}

/// As syslog counts them.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[derive(Clone, Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn put(&mut self, name: &str, value: String) {
        self.0.push((name.to_owned(), value));
    }

    /// As the journal has them: `run` is what operators know as the backup id.
    fn add(&mut self, field: &Field, value: String) {
        let name = match field.name() {
            "run" => "BACKUP_ID".to_owned(),
            name => name.to_uppercase().replace('.', "_"),
        };
        self.0.push((name, value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }
}

/// `NAME=value`, or for a value of several lines its name, its length and itself.
fn encoded(fields: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        let longest = value.len().min(LONGEST_VALUE);
        let ends = (0..=longest).rev();
        let end = ends.into_iter().find(|end| value.is_char_boundary(*end));
        let value = value.get(..end.unwrap_or(0)).unwrap_or_default();
        bytes.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_stream_to_the_journal_is_known_by_its_other_end() {
        let folder = tempfile::tempdir().unwrap();
        let [journal, other] = ["stdout", "other"].map(|name| folder.path().join(name));
        let _open = [&journal, &other].map(|path| UnixListener::bind(path).unwrap());
        let stream = UnixStream::connect(&journal).unwrap();
        assert!(leads_to(stream.as_fd(), &journal));
        assert!(!leads_to(stream.as_fd(), &other));
        let (unnamed, _end) = UnixStream::pair().unwrap();
        assert!(!leads_to(unnamed.as_fd(), &journal));
        let (pipe, _end) = std::io::pipe().unwrap();
        assert!(!leads_to(pipe.as_fd(), &journal));
    }

    #[test]
    fn a_value_of_several_lines_can_bring_no_field_of_its_own() {
        let fields = [
            ("MESSAGE".to_owned(), "one\nPRIORITY=0".to_owned()),
            ("UNIT".to_owned(), "web".to_owned()),
        ];
        assert_eq!(
            encoded(&fields),
            b"MESSAGE\n\x0e\0\0\0\0\0\0\0one\nPRIORITY=0\nUNIT=web\n"
        );
        let long = [("MESSAGE".to_owned(), "ü".repeat(LONGEST_VALUE))];
        assert!(encoded(&long).len() < LONGEST_VALUE + 20);
    }
}
