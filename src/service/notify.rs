//! What systemd is told, over the socket that it gave us. Without one nothing is sent, and nothing is different.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// The most of a status line that `systemctl status` shows well.
const LONGEST_STATUS: usize = 200;

/// Whether systemd listens.
pub fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// What is being done now.
pub fn status(text: &str) {
    send(&[NotifyState::Status(&one_line(text))]);
}

/// Must be followed by [`ready`], whatever comes of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

pub fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How long systemd waits for a sign before it ends us; `None`: it doesn't.
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

fn send(states: &[NotifyState<'_>]) {
    if is_heard()
        && let Err(error) = sd_notify::notify(states)
    {
        debug!("systemd was not told: {error}");
    }
}
