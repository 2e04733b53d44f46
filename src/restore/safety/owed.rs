//! What an interrupted `--undo` has not brought up yet: its data is back, and the containers that belong to it are to follow.

use std::path::Path;

use super::record::{self, Restored};
use crate::context::Context;
use crate::docker::Engine;
use crate::error::Result;
use crate::model::UnitName;
use crate::restore::rebuild::Owed;
use crate::restore::window::Window;

/// Brings it up, and forgets it; what cannot be brought up is told with the commands that do it. Once no journal and no stop record
/// is left to replay. Returns warnings.
pub async fn bring_up_owed(cx: &Context) -> Result<Vec<String>> {
    let journals = cx.paths.restore_journals();
    let (records, _) = record::read_all(&journals)?;
    let mut warnings = Vec::new();
    let mut seen: Vec<UnitName> = Vec::new();
    for record in records {
        // A later restore of the unit has brought its own.
        let is_newest = !seen.contains(&record.unit);
        seen.push(record.unit.clone());
        let Some(owed) = &record.owed else { continue };
        if is_newest {
            warnings.extend(bring_up(cx, &journals, &record, owed).await);
        } else {
            record::forget_owed(&journals, record.id)?;
        }
    }
    Ok(warnings)
}

async fn bring_up(cx: &Context, journals: &Path, record: &Restored, owed: &Owed) -> Vec<String> {
    let undone = record.undoes.unwrap_or(record.id);
    let unit = &record.unit;
    let engine = match Engine::connect(&record.socket).await {
        Ok(engine) => engine,
        // It stays for the next run.
        Err(error) => {
            let why = format!(
                "what ran on the data of `{unit}` before restore {undone} is not started yet: {error:#}"
            );
            return vec![why];
        }
    };
    cx.ui.say(format!(
        "Bringing up what ran on the data of `{unit}` before restore {undone}, whose taking back was interrupted"
    ));
    // A host may have lost its configuration.
    let config = cx.config_again().map(|loaded| loaded.config);
    let config = config.unwrap_or_default();
    let mut window = Window::new(cx, &config, &engine, unit.clone(), record.id);
    let brought = window.bring_back(owed).await;
    if cx.shutdown.is_asked() {
        return window.warnings;
    }
    if let Err(error) = brought {
        window.warnings.push(format!(
            "what ran on the data of `{unit}` before restore {undone} was not started: {error:#}{}",
            owed.next()
        ));
    }
    let forgotten = record::forget_owed(journals, record.id);
    let stale = forgotten.err().map(|error| format!("{error:#}"));
    window.warnings.extend(stale);
    window.warnings
}
