//! How long a unit will be down, before it is stopped: what stopping and starting took in earlier runs, and what is to be read.

use std::time::Duration;

use crate::config::{Config, parse_duration};
use crate::discovery::labels;
use crate::error::{Exit, Failure};
use crate::model::{Container, SourceKey, Unit, UnitName};
use crate::reports::history::History;

/// As long as no run tells more: to stop, and to start.
const STOP: f64 = 5.0;
const START: f64 = 5.0;
/// Bytes a second.
const RATE: u64 = 100_000_000;

/// What the window has to read of a source.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToRead {
    pub bytes: u64,
    /// What it takes to look at all of it.
    pub walk: Duration,
}

/// In seconds.
pub fn downtime<'a>(
    history: &History,
    unit: &UnitName,
    reads: impl Iterator<Item = (&'a SourceKey, ToRead)>,
    workers: usize,
) -> f64 {
    let besides = history.besides_reading(unit);
    let besides = besides.map_or(STOP + START, |(seconds, _)| seconds);
    let reads = reads.map(|(key, read)| {
        let rate = history.rate(unit, key).unwrap_or(RATE).max(1);
        let milliseconds = read.bytes.saturating_mul(1000) / rate;
        (Duration::from_millis(milliseconds) + read.walk).as_secs_f64()
    });
    let reads: Vec<f64> = reads.collect();
    let longest = reads.iter().copied().fold(0.0, f64::max);
    let workers = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
    let side_by_side = reads.iter().sum::<f64>() / f64::from(workers);
    besides + longest.max(side_by_side)
}

/// Why a unit that would be down for so many seconds is left up.
pub fn refusal(seconds: f64, unit: &UnitName, limit: Duration) -> Option<Failure> {
    (seconds > limit.as_secs_f64()).then(|| {
        let why = format!(
            "it would be down for about {seconds:.0} s, and `backup.max_downtime` is {} s: it was left up, and nothing of it was saved",
            limit.as_secs()
        );
        Failure::new(Exit::UnitsFailed, why)
            .hint(format!(
                "see what would be read with `kopi-docka dry-run --unit {unit}`"
            ))
            .hint("allow more with `backup.max_downtime`, or `backup.units.<name>.max_downtime` for this unit alone")
    })
}

/// How long `unit` may be down, and what is wrong with labels that say so. The shortest of its containers' labels counts; the
/// configuration of the unit comes before them.
pub fn limit(config: &Config, unit: &Unit) -> (Option<Duration>, Vec<String>) {
    let (of_labels, warnings) = by_labels(&unit.containers);
    let settings = config.unit(unit.name.as_str());
    let limit = match settings.max_downtime {
        Some(own) => own,
        None => of_labels.or(config.backup.max_downtime),
    };
    (limit, warnings)
}

fn by_labels(containers: &[Container]) -> (Option<Duration>, Vec<String>) {
    let mut shortest: Option<Duration> = None;
    let mut warnings = Vec::new();
    for container in containers {
        let Some(value) = container.labels.get(labels::MAX_DOWNTIME) else {
            continue;
        };
        match parse_duration(value) {
            Some(time) => shortest = Some(shortest.map_or(time, |known| known.min(time))),
            None => warnings.push(format!(
                "container `{}` has the label `{}={value}`, which is no duration such as `90s`: it is ignored",
                container.name,
                labels::MAX_DOWNTIME
            )),
        }
    }
    (shortest, warnings)
}
