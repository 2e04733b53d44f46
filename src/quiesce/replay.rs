//! Brings up what an earlier run left down. Doing it twice is harmless.

use std::path::Path;
use std::time::Duration;

use super::record::RecordFile;
use super::start::{Hurry, Started, forget, start_all};
use crate::base::shutdown::Shutdown;
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::UnitName;
use crate::ui::Ui;

/// What a replay found and did.
#[derive(Debug, Default)]
pub struct Replayed {
    /// How many records were there.
    pub records: usize,
    pub started: Started,
    /// The units with containers that do not start. Their records stay.
    pub down: Vec<Down>,
}

/// A unit that an earlier run left down and that cannot be brought up.
#[derive(Clone, Debug)]
pub struct Down {
    pub unit: UnitName,
    /// Names, each with the reason.
    pub still_stopped: Vec<(String, String)>,
}

/// Replays every record in `folder` against the engine that it belongs to; with `only`, those of that unit. After a signal nothing is
/// waited for: what is not up then is left to the next replay, which the timer of `recover` makes.
pub async fn replay(
    folder: &Path,
    only: Option<&UnitName>,
    ui: &Ui,
    shutdown: &Shutdown,
) -> Result<Replayed> {
    let (mut files, damaged) = RecordFile::pending(folder)?;
    if let Some(only) = only {
        files.retain(|file| file.record.unit == *only);
    }
    let mut replayed = Replayed {
        records: files.len(),
        ..Replayed::default()
    };
    for path in damaged {
        replayed.started.warnings.push(format!(
            "`{}` is not a stop record this version can read: check for stopped containers, then remove it",
            path.display()
        ));
    }
    for file in files {
        let names: Vec<String> = file
            .record
            .entries
            .iter()
            .map(|entry| entry.name.clone())
            .collect();
        ui.say(format!(
            "Starting what the interrupted run {} of `{}` left stopped: {}",
            file.record.run,
            file.record.unit,
            names.join(", ")
        ));
        let unit = file.record.unit.clone();
        let starting = bring_up(file, shutdown);
        let started = match shutdown.cut_soon("the waiting for Docker", starting).await {
            Ok(started) => started,
            // Whatever else is wrong: these are down.
            Err(error) => Started {
                still_stopped: names
                    .into_iter()
                    .map(|name| (name, format!("{error:#}")))
                    .collect(),
                ..Started::default()
            },
        };
        replayed.add(unit, started);
    }
    Ok(replayed)
}

async fn bring_up(file: RecordFile, shutdown: &Shutdown) -> Result<Started> {
    let engine = Engine::connect(&file.record.socket).await?;
    // A Docker that goes away now is asked again by the timer.
    let patience = Duration::from_secs(file.record.start_timeout_seconds);
    let hurry = Hurry::AtFirstSignal;
    let mut started = start_all(&engine, &file.record, patience, shutdown, hurry).await;
    forget(file, &mut started);
    Ok(started)
}

impl Replayed {
    fn add(&mut self, unit: UnitName, started: Started) {
        if !started.still_stopped.is_empty() {
            self.down.push(Down {
                unit,
                still_stopped: started.still_stopped.clone(),
            });
        }
        self.started.up.extend(started.up);
        self.started.still_stopped.extend(started.still_stopped);
        self.started.warnings.extend(started.warnings);
    }
}
