//! What Docker did to a world's containers, to the nanosecond.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::bed::{Bed, IMAGE};
use super::poll;
use super::run::Running;
use super::world::LABEL;

/// Listens from the moment it was made. Live, because an engine remembers only its last 256 events.
pub struct Watch {
    bed: Bed,
    world: String,
    listener: Running,
}

impl Watch {
    #[track_caller]
    pub(super) fn new(bed: &Bed, world: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let since = format!("{}.{:09}", now.as_secs(), now.subsec_nanos());
        let filter = format!("label={LABEL}={world}");
        let args = [
            "events",
            "--since",
            &since,
            "--filter",
            "type=container",
            "--filter",
            &filter,
            "--format",
            "{{json .}}",
        ];
        Self {
            bed: bed.clone(),
            world: world.to_owned(),
            listener: bed.docker(&args).spawn(),
        }
    }

    /// Everything until now, in order.
    #[track_caller]
    pub fn events(&self) -> Events {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // An event of our own marks the end: what came before it has been heard when it has.
        let mark = format!(
            "{}-mark-{}",
            self.world,
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let label = format!("{LABEL}={}", self.world);
        self.bed
            .docker(&[
                "create",
                "--name",
                &mark,
                "--label",
                &label,
                "--network",
                "none",
                IMAGE,
            ])
            .text();
        let text = poll::until("Docker's events", Duration::from_secs(20), || {
            Some(self.listener.stdout_so_far()).filter(|text| {
                text.lines()
                    .any(|line| line.ends_with('}') && line.contains(&mark))
            })
        });
        self.bed.docker(&["rm", &mark]).text();
        let marks = format!("{}-mark-", self.world);
        let events = text
            .lines()
            .take_while(|line| !line.contains(&mark))
            .filter(|line| !line.contains(&marks));
        Events(events.map(Event::parse).collect())
    }
}

#[derive(Clone, Debug)]
pub struct Event {
    /// Since 1970.
    pub at: Duration,
    /// The compose service, or the container's name.
    pub service: String,
    pub container: String,
    /// As Docker says: `kill`, `die`, `stop`, `start`, `create`, `destroy`, `health_status: healthy`.
    pub action: String,
    /// Of a `die`.
    pub exit_code: Option<i32>,
}

impl Event {
    fn parse(line: &str) -> Self {
        let event: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("not an event: {line:?}: {error}"));
        let attributes = &event["Actor"]["Attributes"];
        let text = |name: &str| attributes[name].as_str().map(str::to_owned);
        let container = text("name").unwrap_or_default();
        Self {
            at: Duration::from_nanos(event["timeNano"].as_u64().unwrap()),
            service: text("com.docker.compose.service").unwrap_or_else(|| container.clone()),
            container,
            action: event["Action"].as_str().unwrap().to_owned(),
            exit_code: text("exitCode").map(|code| code.parse().unwrap()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Events(pub Vec<Event>);

impl Events {
    /// The services to which `action` happened, in order.
    pub fn order(&self, action: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|event| event.action == action)
            .map(|event| event.service.as_str())
            .collect()
    }

    /// When `action` happened to `service`; it must have happened once.
    #[track_caller]
    pub fn at(&self, service: &str, action: &str) -> Duration {
        let found: Vec<&Event> = self
            .0
            .iter()
            .filter(|event| event.service == service && event.action == action)
            .collect();
        assert!(
            found.len() == 1,
            "`{service}` should have had one `{action}`, but had {}\n{self}",
            found.len()
        );
        found[0].at
    }

    /// From the death of `service` to its start; it must have died and started once.
    #[track_caller]
    pub fn downtime(&self, service: &str) -> Duration {
        let (died, started) = (self.at(service, "die"), self.at(service, "start"));
        started
            .checked_sub(died)
            .unwrap_or_else(|| panic!("`{service}` started before it died\n{self}"))
    }

    /// From the first `kill` (the signal that asks to stop) to the last `start`.
    #[track_caller]
    pub fn window(&self) -> Duration {
        let first = self
            .0
            .iter()
            .find(|event| event.action == "kill")
            .unwrap_or_else(|| panic!("nothing was stopped\n{self}"));
        let last = self
            .0
            .iter()
            .rfind(|event| event.action == "start")
            .unwrap_or_else(|| panic!("nothing was started\n{self}"));
        last.at
            .checked_sub(first.at)
            .unwrap_or_else(|| panic!("the last start was before the first stop\n{self}"))
    }

    /// Panics when a container was stopped, died or was started.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let touched = self.0.iter().any(|event| {
            [
                "kill", "stop", "die", "start", "restart", "pause", "destroy",
            ]
            .contains(&event.action.as_str())
        });
        assert!(!touched, "no container should have been touched\n{self}");
    }
}

impl std::fmt::Display for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(first) = self.0.first() else {
            return write!(f, "(no events)");
        };
        for event in &self.0 {
            let code = event
                .exit_code
                .map_or_else(String::new, |code| format!(" {code}"));
            writeln!(
                f,
                "{:10.4} s  {} {}{code}",
                (event.at - first.at).as_secs_f64(),
                event.service,
                event.action
            )?;
        }
        Ok(())
    }
}
