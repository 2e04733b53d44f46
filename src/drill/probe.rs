//! Questions that only the service itself can answer, asked until it does.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::mask::Mask;
use crate::base::heartbeat;
use crate::config::Probe;
use crate::drivers::docker::Engine;
use crate::drivers::docker::inside::Command;
use crate::model::drill::{DrilledProbe, Dropped, LeftOutService};

const PAUSE: Duration = Duration::from_secs(1);

/// What probes came to.
#[derive(Default)]
pub struct Probed {
    pub probes: Vec<DrilledProbe>,
    pub errors: Vec<String>,
    /// Not asked, since their service was left out.
    pub skipped: Vec<Dropped>,
}

/// Asks all `probes` of the services in `containers`, ids by name.
pub async fn ask(
    engine: &Engine,
    probes: &[Probe],
    containers: &BTreeMap<String, String>,
    left_out: &[LeftOutService],
    deadline: Instant,
    mask: &Mask,
) -> Probed {
    let mut probed = Probed::default();
    for probe in probes {
        let named = match &probe.service {
            Some(name) => containers.get_key_value(name),
            None if containers.len() == 1 => containers.first_key_value(),
            None => None,
        };
        let shown = mask.masked(&shell_words::join(&probe.exec));
        let Some((service, id)) = named else {
            let service = probe.service.clone().unwrap_or_default();
            if left_out.iter().any(|left| left.service == service) {
                let what = format!("probe `{shown}`");
                probed.skipped.push(Dropped {
                    service: Some(service),
                    what,
                });
                continue;
            }
            probed.errors.push(match &probe.service {
                Some(service) => format!("probe `{shown}` is for service `{service}`, which did not run when the point was made"),
                None => format!("probe `{shown}` does not say which service it is for (`service`)"),
            });
            continue;
        };
        let limit = deadline.min(Instant::now() + probe.timeout);
        let (result, tries) = one(engine, id, probe, limit).await;
        probed.probes.push(DrilledProbe {
            service: service.clone(),
            exec: probe.exec.iter().map(|word| mask.masked(word)).collect(),
            is_good: result.is_ok(),
            tries,
        });
        if let Err(why) = result {
            let seconds = probe.timeout.as_secs();
            let why = mask.masked(why.trim());
            probed.errors.push(format!(
                "probe `{shown}` in `{service}` did not exit with 0 within {seconds} s: {why}"
            ));
        }
    }
    probed
}

async fn one(
    engine: &Engine,
    id: &str,
    probe: &Probe,
    limit: Instant,
) -> (Result<(), String>, u32) {
    let mut tries = 0;
    loop {
        tries += 1;
        heartbeat::beat();
        let left = limit.saturating_duration_since(Instant::now());
        let command = Command {
            words: &probe.exec,
            user: probe.user.as_deref(),
            variables: &[],
        };
        let asked = engine.execute(id, &command, left.max(PAUSE)).await;
        let why = match asked {
            Ok(ended) if ended.exit_code == 0 => return (Ok(()), tries),
            Ok(ended) => format!("status {}; {}", ended.exit_code, ended.said.trim()),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() + PAUSE > limit {
            return (Err(why), tries);
        }
        sleep(PAUSE).await;
    }
}
