//! A child's stderr, drained always and kept within bounds.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

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
    /// How much of it has been read.
    pub bytes: u64,
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

/// How long the end of it is waited for when the child is gone: a grandchild may hold the other end.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub struct Stderr {
    said: watch::Receiver<Said>,
    reader: Option<JoinHandle<()>>,
    /// When nothing more is waited for.
    over_at: Option<Instant>,
}

impl Stderr {
    pub fn drain(stderr: Option<ChildStderr>) -> Self {
        let (sender, said) = watch::channel(Said::default());
        let reader = stderr.map(|stderr| tokio::spawn(read(stderr, sender)));
        Self {
            said,
            reader,
            over_at: None,
        }
    }

    pub fn said(&self) -> watch::Receiver<Said> {
        self.said.clone()
    }

    /// Waits until everything was read, no longer than [`LAST_WORDS`] however often it is cut off. Cancel safe.
    pub async fn finish(&mut self) -> String {
        let over_at = *self
            .over_at
            .get_or_insert_with(|| Instant::now() + LAST_WORDS);
        if let Some(reader) = &mut self.reader {
            if tokio::time::timeout_at(over_at, &mut *reader)
                .await
                .is_err()
            {
                reader.abort();
            }
            self.reader = None;
        }
        self.said.borrow().text()
    }
}

async fn read(mut stderr: impl AsyncRead + Unpin, sender: watch::Sender<Said>) {
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    let mut is_progress = false;
    // Before a line feed a carriage return is part of the line's end, as ssh writes it on every line.
    let mut has_returned = false;
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        for &byte in buffer.iter().take(count) {
            match byte {
                b'\r' => has_returned = true,
                b'\n' => {
                    sender.send_modify(|said| said.push(&line, is_progress));
                    line.clear();
                    (is_progress, has_returned) = (false, false);
                }
                _ => {
                    if has_returned {
                        sender.send_modify(|said| said.push(&line, true));
                        line.clear();
                        (is_progress, has_returned) = (true, false);
                    }
                    if line.len() < KEPT_LINE_BYTES {
                        line.push(byte);
                    }
                }
            }
        }
        sender.send_modify(|said| said.bytes += count as u64);
        // Kopia's progress lines begin with a carriage return and end with nothing.
        if (is_progress || has_returned) && !line.is_empty() {
            sender.send_modify(|said| said.push(&line, true));
        }
    }
    sender.send_modify(|said| {
        said.push(&line, is_progress || has_returned);
        said.is_closed = true;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(text: &str) -> (String, String) {
        let (sender, said) = watch::channel(Said::default());
        read(text.as_bytes(), sender).await;
        let said = said.borrow();
        (said.text(), said.progress.clone())
    }

    #[tokio::test]
    async fn words_are_not_lost_by_who_is_cut_off_while_waiting_for_them() {
        let (sender, said) = watch::channel(Said::default());
        let (mut child, ours) = tokio::io::duplex(64);
        let mut stderr = Stderr {
            said,
            reader: Some(tokio::spawn(read(ours, sender))),
            over_at: None,
        };
        for _ in 0..3 {
            let cut = tokio::time::timeout(Duration::from_millis(10), stderr.finish());
            assert!(cut.await.is_err());
        }
        tokio::io::AsyncWriteExt::write_all(&mut child, b"no space left\n")
            .await
            .unwrap();
        drop(child);
        assert_eq!(stderr.finish().await, "no space left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_grandchild_that_holds_it_is_waited_for_once() {
        let (sender, said) = watch::channel(Said::default());
        let (_held, ours) = tokio::io::duplex(64);
        let mut stderr = Stderr {
            said,
            reader: Some(tokio::spawn(read(ours, sender))),
            over_at: None,
        };
        let began = Instant::now();
        while tokio::time::timeout(Duration::from_millis(50), stderr.finish())
            .await
            .is_err()
        {
            assert!(began.elapsed() < 2 * LAST_WORDS);
        }
    }

    #[tokio::test]
    async fn a_line_that_ssh_ends_is_no_progress() {
        let (text, progress) = said("Permission denied\r\nConnection closed\n").await;
        assert_eq!(text, "Permission denied\nConnection closed");
        assert_eq!(progress, "");
    }

    #[tokio::test]
    async fn progress_comes_after_or_before_a_carriage_return() {
        for (bytes, progress) in [
            ("\r 1 % \r 2 %", "2 %"),
            ("1 %\r2 %\r", "2 %"),
            ("\r 1 %\r 2 %\r\n", "2 %"),
        ] {
            let (text, found) = said(&format!("first\n{bytes}")).await;
            assert_eq!(
                (text.as_str(), found.as_str()),
                ("first", progress),
                "{bytes:?}"
            );
        }
        assert_eq!(said("\r 1 %\nlast").await.0, "last");
    }
}
