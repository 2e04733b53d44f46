//! Brings up what an earlier run left down. Doing it twice is harmless.

use std::path::Path;

use super::record::RecordFile;
use super::start::{Started, forget, start_all};
use crate::docker::Engine;
use crate::error::Result;
use crate::shutdown::Shutdown;
use crate::ui::Ui;

/// What a replay found and did.
#[derive(Debug, Default)]
pub struct Replayed {
    /// How many records were there.
    pub records: usize,
    pub started: Started,
}

/// Replays every record in `folder` against the engine that it belongs to.
pub async fn replay(folder: &Path, ui: &Ui, shutdown: &Shutdown) -> Result<Replayed> {
    let (files, damaged) = RecordFile::pending(folder)?;
    let mut replayed = Replayed {
        records: files.len(),
        ..Replayed::default()
    };
    for path in damaged {
        replayed.started.warnings.push(format!(
            "`{}` is no stop record that this version can read: look for stopped containers yourself, then remove it",
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
        let socket = file.record.socket.clone();
        let engine = match Engine::connect(&socket).await {
            Ok(engine) => engine,
            Err(error) => {
                // Whatever else is wrong: these are down.
                let down = names.into_iter().map(|name| (name, format!("{error:#}")));
                replayed.started.still_stopped.extend(down);
                continue;
            }
        };
        let mut started = start_all(&engine, &file.record, shutdown).await;
        forget(file, &mut started);
        replayed.started.up.extend(started.up);
        replayed.started.still_stopped.extend(started.still_stopped);
        replayed.started.warnings.extend(started.warnings);
    }
    Ok(replayed)
}
