//! A child's stderr, drained always and kept within bounds.

use std::collections::VecDeque;

use tokio::io::AsyncReadExt as _;
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const KEPT_LINES: usize = 40;
const KEPT_LINE_BYTES: usize = 1000;

/// What a child has said on stderr so far.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The last lines, the newest at the end.
    lines: VecDeque<String>,
    /// The newest progress line: one that was followed by a carriage return or begins with one.
    pub progress: String,
    /// True once the child has closed it.
    pub is_closed: bool,
}

impl Said {
    pub fn has_line(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.lines.iter().any(|line| matches(line))
    }

    pub fn text(&self) -> String {
        self.lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn push(&mut self, line: &[u8], is_progress: bool) {
        let line = line.get(..KEPT_LINE_BYTES).unwrap_or(line);
        let text = String::from_utf8_lossy(line).trim().to_owned();
        if text.is_empty() {
            return;
        }
        if is_progress {
            self.progress = text;
            return;
        }
        if self.lines.len() == KEPT_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(text);
    }
}

pub(super) struct Stderr {
    said: watch::Receiver<Said>,
    reader: Option<JoinHandle<()>>,
}

impl Stderr {
    pub(super) fn drain(stderr: Option<ChildStderr>) -> Self {
        let (sender, said) = watch::channel(Said::default());
        let reader = stderr.map(|stderr| tokio::spawn(read(stderr, sender)));
        Self { said, reader }
    }

    pub(super) fn said(&self) -> watch::Receiver<Said> {
        self.said.clone()
    }

    /// Waits until everything was read, at most a second: a grandchild may hold the other end.
    pub(super) async fn finish(&mut self) -> String {
        if let Some(mut reader) = self.reader.take()
            && tokio::time::timeout(std::time::Duration::from_secs(1), &mut reader)
                .await
                .is_err()
        {
            reader.abort();
        }
        self.said.borrow().text()
    }
}

async fn read(mut stderr: ChildStderr, sender: watch::Sender<Said>) {
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    let mut is_progress = false;
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        for &byte in buffer.iter().take(count) {
            match byte {
                b'\n' | b'\r' => {
                    let ends_progress = byte == b'\r';
                    if !line.is_empty() {
                        sender.send_modify(|said| said.push(&line, is_progress || ends_progress));
                    }
                    is_progress = ends_progress;
                    line.clear();
                }
                _ if line.len() < KEPT_LINE_BYTES => line.push(byte),
                _ => {}
            }
        }
        // Kopia's progress lines begin with a carriage return and end with nothing.
        if is_progress && !line.is_empty() {
            sender.send_modify(|said| said.push(&line, true));
        }
    }
    sender.send_modify(|said| {
        said.push(&line, is_progress);
        said.is_closed = true;
    });
}
