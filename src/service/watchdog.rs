//! Answers systemd's watchdog at half its interval: always while there is nothing to do, and during a run only while that gets on.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use crate::base::heartbeat;
use crate::drivers::systemd::notify;

/// How soon a run that gets on again is told of.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Never ends; where systemd does not ask it does nothing.
pub async fn answer() {
    let Some(limit) = notify::watchdog_limit() else {
        return std::future::pending().await;
    };
    let half = limit / 2;
    let mut is_silent = false;
    loop {
        let silence = heartbeat::silent_for();
        match heartbeat::allowed().filter(|allowed| silence > *allowed) {
            None => {
                is_silent = false;
                notify::watchdog();
                sleep(half).await;
            }
            Some(_) => {
                if !is_silent {
                    warn!(
                        "the run has not moved for {} s: systemd will end it and start the containers again",
                        silence.as_secs()
                    );
                }
                is_silent = true;
                sleep(half.min(LOOK_AGAIN)).await;
            }
        }
    }
}
