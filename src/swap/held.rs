//! Containers that a restore leaves down on purpose: they belong to what was there before, and would run another program on the data
//! of the point. Nothing of ours starts them until the restore is taken back.
//!
//! Never here: which these are. That is told by comparing them with the point.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::users::Users;
use crate::drivers::docker::Engine;
use crate::drivers::docker::json::Json as _;
use crate::error::Result;
use crate::model::UnitName;
use crate::quiesce::{Entry, RecordFile};

/// Docker starts it at boot, also when it was stopped by hand.
pub const ALWAYS: &str = "always";
/// Docker starts it at boot, unless it was stopped.
pub const UNLESS_STOPPED: &str = "unless-stopped";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    #[serde(flatten)]
    pub entry: Entry,
    /// Its restart policy was `always`; while it is held it is `unless-stopped`.
    #[serde(default)]
    pub restarts_always: bool,
}

/// Those of `users` that are of the unit, and what earlier runs left down of it.
pub async fn held(
    engine: &Engine,
    users: &Users,
    stop_records: &Path,
    unit: &UnitName,
) -> Result<Vec<Held>> {
    let mut entries: Vec<Entry> = users
        .entries
        .iter()
        .filter(|entry| users.of_unit.contains(&entry.id))
        .cloned()
        .collect();
    for earlier in of_unit(stop_records, unit)? {
        for entry in earlier.record.entries {
            if !entries.iter().any(|known| known.id == entry.id) {
                entries.push(entry);
            }
        }
    }
    let mut held = Vec::new();
    for entry in entries {
        let Some(inspect) = engine.raw_container(&entry.id).await? else {
            continue;
        };
        held.push(Held {
            entry,
            restarts_always: inspect.at("HostConfig").at("RestartPolicy").at("Name") == ALWAYS,
        });
    }
    Ok(held)
}

/// The swaps of `journal` are done: from now on nothing starts what it holds, and what it wakes is started by the next replay of the
/// stop records. Twice is harmless. Returns what went wrong with Docker, which loses nothing.
pub async fn settle(
    journal: &Journal,
    journals: &Path,
    engine: Option<&Engine>,
) -> Result<Vec<String>> {
    if journal.holds.is_empty() && journal.wakes.is_empty() {
        return Ok(Vec::new());
    }
    let stop_records = stop_records(journals);
    let ids: Vec<&str> = journal
        .holds
        .iter()
        .map(|held| held.entry.id.as_str())
        .collect();
    for mut file in of_unit(&stop_records, &journal.unit)? {
        file.drop_for_good(&ids)?;
    }
    if !journal.wakes.is_empty() {
        let entries = journal.wakes.iter().map(|held| held.entry.clone());
        RecordFile::create(
            &stop_records,
            &format!("{}-before", journal.id),
            &journal.unit,
            &journal.socket,
            journal.start_timeout_seconds,
            entries.collect(),
        )?;
    }
    if !journal.has_policies() {
        return Ok(Vec::new());
    }
    let connected;
    let engine = match engine {
        Some(engine) => engine,
        None => match Engine::connect(&journal.socket).await {
            Ok(engine) => {
                connected = engine;
                &connected
            }
            Err(error) => return Ok(vec![format!("{error:#}")]),
        },
    };
    let mut problems = Vec::new();
    let holds = journal.holds.iter().map(|held| (held, UNLESS_STOPPED));
    let wakes = journal.wakes.iter().map(|held| (held, ALWAYS));
    for (held, policy) in holds.chain(wakes).filter(|(held, _)| held.restarts_always) {
        let set = engine.set_restart_policy(&held.entry.id, policy).await;
        problems.extend(set.err().map(|error| {
            format!(
                "container `{}` should have the restart policy `{policy}`: {error:#}",
                held.entry.name
            )
        }));
    }
    Ok(problems)
}

/// Records of what is down of `unit`.
fn of_unit(stop_records: &Path, unit: &UnitName) -> Result<Vec<RecordFile>> {
    let (mut files, _) = RecordFile::pending(stop_records)?;
    files.retain(|file| file.record.unit == *unit);
    Ok(files)
}

/// The directory of the stop records, beside that of the journals.
fn stop_records(journals: &Path) -> PathBuf {
    journals.with_file_name("stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::BackupId;

    fn held(name: &str) -> Held {
        let entry = serde_json::json!({
            "id": name, "name": name, "project": null, "service": null, "number": null, "level": 0,
            "dependencies": [], "has_healthcheck": false, "grace_seconds": 1, "asked_at": null,
        });
        Held {
            entry: serde_json::from_value(entry).unwrap(),
            restarts_always: false,
        }
    }

    /// The names that the next replay of the stop records starts.
    fn pending(folder: &Path) -> Vec<String> {
        let (files, damaged) = RecordFile::pending(folder).unwrap();
        assert!(damaged.is_empty());
        let entries = files.into_iter().flat_map(|file| file.record.entries);
        let mut names: Vec<String> = entries.map(|entry| entry.name).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn no_record_starts_what_is_held_and_one_starts_what_is_woken() {
        let root = tempfile::tempdir().unwrap();
        let journals = root.path().join("restoring");
        let stopped = root.path().join("stopped");
        let (unit, other) = (
            UnitName::parse("u").unwrap(),
            UnitName::parse("other").unwrap(),
        );
        let socket = Path::new("/nonexistent");
        for (run, unit, names) in [
            ("r1", &unit, &["db", "app"][..]),
            ("earlier", &unit, &["db"]),
            ("r2", &other, &["db"]),
        ] {
            let entries = names.iter().map(|name| held(name).entry).collect();
            RecordFile::create(&stopped, run, unit, socket, 1, entries).unwrap();
        }
        let id = BackupId::parse("2026-01-02T03-04-05Z").unwrap();
        let mut journal = Journal::new(id, unit, socket.to_owned());
        settle(&journal, &journals, None).await.unwrap();
        assert_eq!(pending(&stopped), ["app", "db", "db", "db"]);
        journal.holds = vec![held("db")];
        for _ in 0..2 {
            settle(&journal, &journals, None).await.unwrap();
            assert_eq!(pending(&stopped), ["app", "db"], "the other unit's stays");
        }
        journal.holds.clear();
        journal.wakes = vec![held("newer")];
        for _ in 0..2 {
            settle(&journal, &journals, None).await.unwrap();
            assert_eq!(pending(&stopped), ["app", "db", "newer"]);
        }
    }
}
