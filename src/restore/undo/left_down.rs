//! Containers that a restore left down on purpose and that are still there, down.

use std::path::Path;

use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::{BackupId, UnitName};
use crate::swap::kept::{self, Restored};

#[derive(Debug)]
pub struct LeftDown {
    pub unit: UnitName,
    pub restore: BackupId,
    pub containers: Vec<String>,
}

/// By the newest restore of each unit.
pub async fn left_down(journals: &Path, engine: &Engine) -> Result<Vec<LeftDown>> {
    let (records, _) = kept::read_all(journals)?;
    let mut newest: Vec<Restored> = Vec::new();
    for record in records {
        if !newest.iter().any(|known| known.unit == record.unit) {
            newest.push(record);
        }
    }
    let mut left = Vec::new();
    for record in newest {
        let mut containers = Vec::new();
        for held in &record.held {
            let Some(found) = engine.inspect(&held.entry.id).await? else {
                continue;
            };
            // Under another name it has made way for the saved one.
            let has_its_name = found
                .name
                .is_some_and(|name| name.trim_start_matches('/') == held.entry.name);
            let state = found.state.filter(|_| has_its_name);
            if state.is_some_and(|state| !state.running.unwrap_or_default()) {
                containers.push(held.entry.name.clone());
            }
        }
        // One that undoes another keeps what that one brought, which nothing is to run.
        if !containers.is_empty() && record.undoes.is_none() {
            left.push(LeftDown {
                unit: record.unit,
                restore: record.id,
                containers,
            });
        }
    }
    Ok(left)
}
