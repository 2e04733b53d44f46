//! Which sources are read whole in the window, and why.

use std::time::Duration;

use crate::backup::plan::Tolerated;
use crate::backup::survey::Reading;
use crate::config::ReadMode;
use crate::discovery::{Size, labels};
use crate::model::{Container, Source};

/// What a disk gives a second, and what a file costs beside its bytes, as long as nothing else is known.
const RATE: u64 = 500 << 20;
const RATE_OF_ROTATING: u64 = 100 << 20;
const EACH_FILE: Duration = Duration::from_micros(15);

/// `time` is what reading all of it would take. An error says why the source is read whole.
pub fn may_be_warmed(
    source: &Source,
    time: Option<Duration>,
    tolerated: &[Tolerated],
    (mode, pays): (ReadMode, Duration),
) -> Result<(), String> {
    if mode == ReadMode::Everything {
        return Err("the configuration, a label or `--read-everything` wants it".to_owned());
    }
    if source.is_file {
        return Err("it is a single file".to_owned());
    }
    let goes_on = |container: &&Tolerated| source.writers.contains(&container.id);
    if let Some(container) = tolerated.iter().find(goes_on) {
        return Err(format!("container `{}` goes on running", container.name));
    }
    let Some(time) = time else {
        return Err("it could not be measured".to_owned());
    };
    if time < pays {
        return Err(format!(
            "it is read within {:.1} s, less than `backup.read_pays`",
            time.as_secs_f64()
        ));
    }
    Ok(())
}

/// What the labels of a unit's containers say, and what is wrong with them. One that wants everything wins.
pub fn by_labels(containers: &[Container]) -> (Option<ReadMode>, Vec<String>) {
    let mut mode = None;
    let mut warnings = Vec::new();
    for container in containers {
        match container.labels.get(labels::READ).map(|value| value.trim()) {
            None => {}
            Some("changed") => _ = mode.get_or_insert(ReadMode::Changed),
            Some("everything") => mode = Some(ReadMode::Everything),
            Some(other) => {
                mode = Some(ReadMode::Everything);
                warnings.push(format!(
                    "container `{}` has the label `{}={other}`, which is neither `changed` nor `everything`: everything is read",
                    container.name,
                    labels::READ
                ));
            }
        }
    }
    (mode, warnings)
}

/// Bytes a second at which it is read: those at which it was read last, where these are known.
pub fn rate(reading: &Reading, known: Option<u64>) -> u64 {
    let unknown = if reading.disks.is_empty() {
        RATE
    } else {
        RATE_OF_ROTATING
    };
    known.unwrap_or(unknown).max(1)
}

/// How long reading all of it would take: at the rate at which it was read last, where that is known.
pub fn expected(size: &Size, reading: &Reading, known: Option<u64>) -> Duration {
    let rate = rate(reading, known);
    if known.is_some() {
        return Duration::from_millis(size.bytes.saturating_mul(1000) / rate);
    }
    let files = u32::try_from(size.files).unwrap_or(u32::MAX);
    let milliseconds = size.bytes.saturating_mul(1000) / rate;
    Duration::from_millis(milliseconds) + EACH_FILE.saturating_mul(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceKey;

    #[test]
    fn a_source_is_read_whole_when_that_is_short_or_nothing_else_is_possible() {
        let mut source = Source {
            key: SourceKey::Volume {
                name: "v".to_owned(),
            },
            path: "/v".into(),
            is_file: false,
            destinations: Vec::new(),
            exclude_patterns: Vec::new(),
            is_anonymous: false,
            writers: vec!["w".to_owned()],
            covers: Vec::new(),
            also_reads: Vec::new(),
            is_included: false,
        };
        let size = |bytes, files| Size {
            bytes,
            files,
            ..Size::default()
        };
        let reading = Reading::default();
        let second = Duration::from_secs(1);
        let why = |source: &Source, size: Option<Size>, tolerated: &[Tolerated], mode, pays| {
            let time = size.map(|size| expected(&size, &reading, None));
            may_be_warmed(source, time, tolerated, (mode, pays)).err()
        };
        let changed = ReadMode::Changed;
        assert_eq!(
            why(&source, Some(size(1 << 30, 1)), &[], changed, second),
            None
        );
        assert_eq!(
            why(&source, Some(size(1, 100_000)), &[], changed, second),
            None
        );
        assert_eq!(
            why(&source, Some(size(1, 1)), &[], changed, Duration::ZERO),
            None
        );
        let at_rate = |rate| expected(&size(1 << 20, 10), &reading, Some(rate));
        assert!(at_rate(1 << 19) == 2 * second && at_rate(0) > 1000 * second);
        let short = why(&source, Some(size(1 << 20, 10)), &[], changed, second);
        assert!(short.unwrap().contains("read_pays"));
        let other = why(
            &source,
            Some(size(1 << 30, 1)),
            &[],
            ReadMode::Everything,
            second,
        );
        assert!(other.is_some());
        assert!(why(&source, None, &[], changed, second).is_some());
        let tolerated = [Tolerated {
            id: "w".to_owned(),
            name: "writer".to_owned(),
            reason: String::new(),
        }];
        let runs = why(&source, Some(size(1 << 30, 1)), &tolerated, changed, second);
        assert!(runs.unwrap().contains("`writer`"));
        source.is_file = true;
        assert!(why(&source, Some(size(1 << 30, 1)), &[], changed, second).is_some());
    }
}
