//! Everything that is printed goes through one thread: a terminal that was stopped with Ctrl-S, a pager, a consumer that hangs
//! or an ssh session whose network is gone block that thread and nothing else.
//!
//! What waits to be printed is bounded: of bars there is only the newest picture, of lines the newest [`MOST_WAITING`] bytes, and what
//! was dropped is counted and said in its place. Answers are never dropped: they are what the command was called for.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::bars::{Bars, Picture};
use super::stream::{self, Stream};

/// Of lines that are not read; thousands of them.
const MOST_WAITING: usize = 1 << 20;

/// How often the end checks for a reader.
const LOOK: Duration = Duration::from_millis(20);

/// For the last words of a program that breaks: containers may wait to be started.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// What happens to a message when too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Always,
    /// The oldest ones go first.
    WhileFew,
    /// As [`Keep::WhileFew`]; its stream is one JSON event a line, and says so when some are missing.
    EventWhileFew,
}

/// How long the end of the program waits for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes.
    Endless,
    /// For as long as something was read within this time.
    Silence(Duration),
    /// No longer than this.
    AtMost(Duration),
}

struct Message {
    to: Stream,
    keep: Keep,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// Bytes in messages that may be dropped.
    waiting: usize,
    /// Dropped since the last notice, on either stream, and whether events are among them.
    dropped: usize,
    dropped_events: usize,
    /// The newest picture of the bars; `Some(None)` takes them away.
    picture: Option<Option<Picture>>,
    is_busy: bool,
    /// When the thread last got further.
    moved: Option<Instant>,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

static PRINTER: OnceLock<Option<Arc<Shared>>> = OnceLock::new();

/// Prints `bytes` as they are.
pub(super) fn print(to: Stream, keep: Keep, bytes: Vec<u8>) {
    match printer() {
        Some(shared) => {
            lock(&shared.queue).push(Message { to, keep, bytes });
            shared.changed.notify_all();
        }
        // No thread is to be had on this host.
        None => stream::write(to, &bytes, || {}),
    }
}

/// Shows `picture` when everything before it is printed, unless a newer one has come by then. `None` takes the bars away.
pub(super) fn show(picture: Option<Picture>) {
    if let Some(shared) = printer() {
        lock(&shared.queue).picture = Some(picture);
        shared.changed.notify_all();
    }
}

/// Waits until everything is printed, or `patience` is over.
pub async fn flushed(patience: Patience) {
    let Some(shared) = printer() else {
        return;
    };
    let began = Instant::now();
    while !is_over(shared, patience, began) {
        tokio::time::sleep(LOOK).await;
    }
}

/// What is said on stderr right before the program may end, from any thread.
pub fn say_last(text: &str) {
    print(
        Stream::Error,
        Keep::Always,
        format!("{text}\n").into_bytes(),
    );
    flush(LAST_WORDS);
}

fn flush(limit: Duration) {
    let Some(shared) = PRINTER.get().and_then(Option::as_ref) else {
        return;
    };
    let began = Instant::now();
    while !is_over(shared, Patience::AtMost(limit), began) {
        std::thread::sleep(LOOK);
    }
}

fn is_over(shared: &Shared, patience: Patience, began: Instant) -> bool {
    let queue = lock(&shared.queue);
    let moved = queue.moved.map_or(began, |moved| moved.max(began));
    queue.is_idle()
        || match patience {
            Patience::Endless => false,
            Patience::Silence(limit) => moved.elapsed() >= limit,
            Patience::AtMost(limit) => began.elapsed() >= limit,
        }
}

fn printer() -> Option<&'static Arc<Shared>> {
    let start = || {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let known = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("print".to_owned());
        thread.spawn(move || known.work()).ok()?;
        Some(shared)
    };
    PRINTER.get_or_init(start).as_ref()
}

impl Queue {
    fn push(&mut self, message: Message) {
        if message.keep != Keep::Always {
            self.waiting += message.bytes.len();
        }
        self.messages.push_back(message);
        while self.waiting > MOST_WAITING && self.messages.len() > 1 {
            let oldest = self
                .messages
                .iter()
                .position(|message| message.keep != Keep::Always);
            // The newest stays, however long it is.
            let oldest = oldest.filter(|index| index + 1 < self.messages.len());
            let Some(message) = oldest.and_then(|index| self.messages.remove(index)) else {
                return;
            };
            self.waiting -= message.bytes.len();
            match message.keep {
                Keep::EventWhileFew => self.dropped_events += 1,
                _ => self.dropped += 1,
            }
        }
    }

    fn pop(&mut self) -> Option<Message> {
        if let Some(notice) = self.notice() {
            return Some(notice);
        }
        let message = self.messages.pop_front()?;
        if message.keep != Keep::Always {
            self.waiting -= message.bytes.len();
        }
        Some(message)
    }

    /// What was dropped is older than everything that waits.
    fn notice(&mut self) -> Option<Message> {
        let (to, text) = if self.dropped_events > 0 {
            let lines = std::mem::take(&mut self.dropped_events);
            let event = serde_json::json!({"event": "lines_dropped", "lines": lines});
            (Stream::Out, event.to_string())
        } else if self.dropped > 0 {
            let lines = std::mem::take(&mut self.dropped);
            let text =
                format!("warning: {lines} lines were dropped here: they were not read in time");
            (Stream::Error, text)
        } else {
            return None;
        };
        Some(Message {
            to,
            keep: Keep::Always,
            bytes: format!("{text}\n").into_bytes(),
        })
    }

    fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.picture.is_none() && !self.is_busy
    }
}

impl Shared {
    fn work(&self) {
        let mut bars = None;
        let mut queue = lock(&self.queue);
        loop {
            let goes_first = matches!(queue.picture, Some(None));
            let message = if goes_first { None } else { queue.pop() };
            let picture = match message {
                Some(_) => None,
                None => queue.picture.take(),
            };
            queue.is_busy = message.is_some() || picture.is_some();
            if !queue.is_busy {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(queue);
            match (message, picture) {
                (Some(message), _) => self.write(bars.as_ref(), &message),
                (None, Some(Some(picture))) => bars.get_or_insert_with(Bars::new).draw(&picture),
                (None, _) => drop(bars.take()),
            }
            queue = lock(&self.queue);
            queue.moved = Some(Instant::now());
            queue.is_busy = false;
        }
    }

    fn write(&self, bars: Option<&Bars>, message: &Message) {
        let moved = || lock(&self.queue).moved = Some(Instant::now());
        let write = || stream::write(message.to, &message.bytes, moved);
        match bars {
            Some(bars) => bars.above(write),
            None => write(),
        }
    }
}

/// stderr for who wants something to write to. A line for each.
#[derive(Default)]
pub struct Lines(Vec<u8>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        if !bytes.is_empty() {
            print(Stream::Error, Keep::WhileFew, bytes);
        }
    }
}

fn lock(mutex: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(keep: Keep, text: &str) -> Message {
        Message {
            to: Stream::Error,
            keep,
            bytes: text.as_bytes().to_vec(),
        }
    }

    fn printed(queue: &mut Queue) -> Vec<String> {
        let text = |message: Message| String::from_utf8(message.bytes).unwrap();
        std::iter::from_fn(|| queue.pop()).map(text).collect()
    }

    #[test]
    fn the_oldest_lines_are_dropped_and_counted_and_no_answer_is() {
        let mut queue = Queue::default();
        let long = "x".repeat(MOST_WAITING / 4);
        queue.push(message(Keep::Always, "answer"));
        queue.push(message(Keep::WhileFew, "first"));
        queue.push(message(Keep::EventWhileFew, "event"));
        for _ in 0..4 {
            queue.push(message(Keep::WhileFew, &long));
        }
        queue.push(message(Keep::Always, &"y".repeat(2 * MOST_WAITING)));
        queue.push(message(Keep::WhileFew, "last"));
        let lines = printed(&mut queue);
        assert_eq!(lines[0], "{\"event\":\"lines_dropped\",\"lines\":1}\n");
        assert!(
            lines[1].starts_with("warning: 2 lines were dropped"),
            "{}",
            lines[1]
        );
        assert_eq!(lines[2], "answer");
        assert_eq!(lines.len(), 3 + 3 + 2);
        assert_eq!(lines.last().unwrap(), "last");
        assert_eq!(queue.waiting, 0);
        assert!(queue.is_idle());
    }

    #[test]
    fn one_line_is_printed_however_long_it_is() {
        let mut queue = Queue::default();
        queue.push(message(Keep::WhileFew, "before"));
        queue.push(message(Keep::WhileFew, &"x".repeat(2 * MOST_WAITING)));
        assert_eq!(printed(&mut queue).len(), 2);
    }
}
