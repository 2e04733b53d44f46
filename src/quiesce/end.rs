//! How a container ended, as its exit status tells.

use chrono::{DateTime, Utc};

use super::record::Entry;
use crate::drivers::docker::{ContainerInspectResponse, ContainerState};

/// The exit status of one that was ended by SIGKILL.
const KILLED: i64 = 137;
/// Statuses from here on are the number of a signal and this.
const SIGNALS: i64 = 128;
const SIGINT: i64 = 2;
const SIGTERM: i64 = 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    Clean,
    /// Not as programs end that are content, but by themselves: to be told.
    Odd(String),
    /// Its data is as after a power cut: why.
    Unclean(String),
}

/// The end of a container that is down and was asked to stop.
pub fn of(entry: &Entry, container: &ContainerInspectResponse) -> End {
    let name = &entry.name;
    let state = container.state.clone().unwrap_or_default();
    let code = state.exit_code.unwrap_or_default();
    if code != 0 && state.oom_killed.unwrap_or_default() {
        return End::Unclean(format!("container `{name}` ran out of memory"));
    }
    if code == KILLED {
        return End::Unclean(killed(entry, &state));
    }
    let own_signal = container
        .config
        .as_ref()
        .and_then(|config| config.stop_signal.as_deref())
        .and_then(signal_number);
    let asked_with = [Some(SIGINT), Some(SIGTERM), own_signal];
    match code {
        0 => End::Clean,
        _ if asked_with.contains(&Some(code - SIGNALS)) => End::Clean,
        SIGNALS.. => End::Unclean(format!(
            "container `{name}` ended with status {code}, as one does that crashes"
        )),
        _ => End::Odd(format!(
            "container `{name}` ended with status {code} when it was stopped"
        )),
    }
}

fn killed(entry: &Entry, state: &ContainerState) -> String {
    let name = &entry.name;
    let finished = state
        .finished_at
        .as_deref()
        .and_then(|time| time.parse().ok());
    let took = entry
        .asked_at
        .zip(finished)
        .map(|(asked_at, finished): (_, DateTime<Utc>)| finished - asked_at);
    match took {
        Some(took) if took.num_seconds() < entry.grace_seconds => {
            format!("container `{name}` ended with status {KILLED}, as one does that is killed")
        }
        _ => format!(
            "container `{name}` did not end within {} s and was killed",
            entry.grace_seconds
        ),
    }
}

/// `SIGQUIT`, `QUIT`, `3` or `SIGRTMIN+3`, as images and compose files have it.
fn signal_number(signal: &str) -> Option<i64> {
    const NAMES: [(&str, i64); 8] = [
        ("HUP", 1),
        ("INT", SIGINT),
        ("QUIT", 3),
        ("USR1", 10),
        ("USR2", 12),
        ("TERM", SIGTERM),
        ("WINCH", 28),
        ("PWR", 30),
    ];
    const RTMIN: i64 = 34;
    let signal = signal.trim().to_uppercase();
    let name = signal.strip_prefix("SIG").unwrap_or(&signal);
    if let Some(above) = name.strip_prefix("RTMIN") {
        let above = above.trim_start_matches('+');
        return Some(RTMIN + above.parse().unwrap_or(0));
    }
    name.parse().ok().or_else(|| {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|(_, number)| *number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(code: i64, is_oom: bool, stop_signal: Option<&str>) -> End {
        let entry: Entry = serde_json::from_value(serde_json::json!({
            "id": "a", "name": "db", "project": null, "service": null, "number": null, "level": 0,
            "dependencies": [], "has_healthcheck": false, "grace_seconds": 30, "asked_at": null
        }))
        .unwrap();
        let container = serde_json::from_value(serde_json::json!({
            "State": {"ExitCode": code, "OOMKilled": is_oom}, "Config": {"StopSignal": stop_signal}
        }))
        .unwrap();
        of(&entry, &container)
    }

    #[test]
    fn a_crash_is_told_from_a_signal_that_was_asked_for_and_from_a_status_of_its_own() {
        let is_unclean = |end| matches!(end, End::Unclean(_));
        for code in [0, 130, 143] {
            assert_eq!(end(code, false, None), End::Clean, "{code}");
        }
        for code in [134, 137, 139, 255] {
            assert!(is_unclean(end(code, false, None)), "{code}");
        }
        assert!(matches!(end(1, false, None), End::Odd(_)));
        assert!(is_unclean(end(1, true, None)));
        // A child of it ran out of memory, and it ended in order all the same.
        assert_eq!(end(0, true, None), End::Clean);
        for (code, signal) in [(131, "SIGQUIT"), (131, "3"), (165, "SIGRTMIN+3")] {
            assert_eq!(end(code, false, Some(signal)), End::Clean, "{signal}");
        }
        assert!(is_unclean(end(131, false, Some("SIGTERM"))));
    }
}
