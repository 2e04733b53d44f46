//! Containers that a restore leaves down, and that run when its interrupted end is finished: another hand started them meanwhile, or Docker
//! did at boot, and the data that is in place is not theirs.
//!
//! Never here: those of a restore that has ended. Who starts one of them then has decided so.

use super::crew::{Services, no_answer};
use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::quiesce::{Entry, RecordFile, still_running, stop_all};
use crate::swap::journal::Journal;

/// Stops what `journal` holds and runs, and returns what is to be told of it. Everything must be in place. An error means that one may
/// still run: this has to be repeated.
pub async fn keep_down(journal: &Journal, services: &Services<'_>) -> Result<Vec<String>> {
    let Services::Asked(cx) = *services else {
        return Ok(Vec::new());
    };
    if journal.holds.is_empty() {
        return Ok(Vec::new());
    }
    let holds = journal.holds.iter().map(|held| held.entry.clone());
    let asked = async {
        let engine = Engine::connect(&journal.socket).await?;
        // By their ids alone: what has taken the name of one since may well belong to the data.
        let (running, _) = still_running(&engine, holds.collect()).await?;
        Ok::<_, anyhow::Error>((engine, running))
    };
    let (engine, running) = asked.await.map_err(|error| no_answer(journal, error))?;
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let warnings = running.iter().map(|entry| told(journal, entry)).collect();
    let record = RecordFile::create(
        &cx.paths.stop_records(),
        &format!("{}-held", journal.id),
        &journal.unit,
        &journal.socket,
        journal.start_timeout_seconds,
        running,
    )?;
    let (mut quiesced, stopped) = stop_all(&engine, record, &cx.shutdown).await;
    quiesced.hold(&journal.held_ids());
    // Nothing is left to start: the record goes.
    quiesced.start(&engine).await;
    stopped?;
    Ok(warnings)
}

fn told(journal: &Journal, entry: &Entry) -> String {
    format!(
        "container `{}` was started since, on data that is not its own: it is stopped again. `kopi-docka restore --undo {}` brings it back with its own data",
        entry.name, journal.id
    )
}
