//! What systemd is told, over the socket that it gave us. Without one nothing is sent, and nothing is different.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use tracing::debug;

/// The most of a status line that `systemctl status` shows well.
const LONGEST_STATUS: usize = 200;
/// How many messages may be on their way.
const QUEUE: usize = 64;
const FLUSH: Duration = Duration::from_secs(1);

/// Whether systemd listens.
pub fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

pub fn ready(status: &str) {
    send(format!("READY=1\nSTATUS={}", one_line(status)));
}

/// What is being done now.
pub fn status(text: &str) {
    send(format!("STATUS={}", one_line(text)));
}

/// Must be followed by [`ready`], whatever the result is.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
    send(format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

pub fn stopping() {
    send("STOPPING=1".to_owned());
}

pub fn watchdog() {
    send("WATCHDOG=1".to_owned());
}

/// How long systemd waits for a sign before it ends us; `None`: it does not.
pub fn watchdog_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The protocol has one line for each thing.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if let Some((end, _)) = line.char_indices().nth(LONGEST_STATUS) {
        line.truncate(end);
    }
    line
}

/// What is on its way to the thread that sends.
enum Post {
    Message(String),
    /// Everything before it was sent.
    Flush(SyncSender<()>),
}

/// A service manager that is stuck takes nothing, and sending to it waits: code that has containers to start must not wait.
fn sender() -> &'static SyncSender<Post> {
    static SENDER: OnceLock<SyncSender<Post>> = OnceLock::new();
    SENDER.get_or_init(|| {
        let (sender, posts) = sync_channel(QUEUE);
        std::thread::spawn(move || {
            for post in posts {
                match post {
                    Post::Message(text) => {
                        if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&text)]) {
                            debug!("systemd was not told: {error}");
                        }
                    }
                    Post::Flush(done) => drop(done.send(())),
                }
            }
        });
        sender
    })
}

fn send(message: String) {
    if is_heard() && sender().try_send(Post::Message(message)).is_err() {
        debug!("systemd takes no messages");
    }
}

/// Before the process ends: waits for what was sent, not for long.
pub fn flush() {
    if !is_heard() {
        return;
    }
    let (done, is_done) = sync_channel(1);
    if sender().try_send(Post::Flush(done)).is_ok() {
        let _ = is_done.recv_timeout(FLUSH);
    }
}
