//! Writes on a thread of its own: a disk that is slow, or does not answer, must not keep services down.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::file::LogFile;

/// For a disk that does not answer: while it is opened, and at the end.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Writer {
    messages: Sender<Message>,
    /// For errors.
    path: String,
}

enum Message {
    Line(String),
    /// Asks for the first error since the start.
    End(Sender<Option<std::io::Error>>),
}

impl Writer {
    pub fn start(path: &Path, limit_bytes: u64, keep: usize) -> Result<Self, String> {
        let name = path.display().to_string();
        let (messages, inbox) = channel();
        let (opened, is_open) = channel();
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("log".to_owned());
        let begun = thread.spawn(move || match LogFile::open(&path, limit_bytes, keep) {
            Ok(file) => {
                let _ = opened.send(Ok(()));
                write_all(file, &inbox);
            }
            Err(error) => drop(opened.send(Err(error))),
        });
        let failed = |why: String| Err(format!("the log file `{name}` cannot be opened: {why}"));
        if let Err(error) = begun {
            return failed(error.to_string());
        }
        match is_open.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(Self {
                messages,
                path: name,
            }),
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => failed("its disk does not answer".to_owned()),
        }
    }

    /// `line` ends with a line feed and has no other.
    pub fn write(&self, line: String) {
        let _ = self.messages.send(Message::Line(line));
    }

    pub fn end(&self) -> Result<(), String> {
        let (sender, answer) = channel();
        let _ = self.messages.send(Message::End(sender));
        let why = match answer.recv_timeout(PATIENCE) {
            Ok(None) => return Ok(()),
            Ok(Some(error)) => error.to_string(),
            Err(_) => "its disk does not answer".to_owned(),
        };
        Err(format!(
            "not everything is in the log file `{}`: {why}",
            self.path
        ))
    }
}

fn write_all(mut file: LogFile, inbox: &Receiver<Message>) {
    let mut first_error = None;
    for message in inbox {
        match message {
            Message::Line(line) => {
                if let Err(error) = file.append(line.as_bytes()) {
                    first_error.get_or_insert(error);
                }
            }
            Message::End(sender) => drop(sender.send(first_error.take())),
        }
    }
}
