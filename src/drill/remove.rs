//! Everything of a drill goes: containers, networks, volumes, its directory, and then its record.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::record::{self, Record};
use crate::base::blocking::aside;
use crate::base::fault;
use crate::base::lock::{self, Lock};
use crate::base::paths::Paths;
use crate::drivers::docker::Engine;
use crate::error::{Exit, Result, exit_of};

/// What was being made when its maker was killed may come after the first look.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Removes it all. Can be repeated.
pub async fn remove(engine: &Engine, paths: &Paths, record: &Record) -> Result<()> {
    fault::reached("drill-remove").await;
    let label = record.label();
    for look in 0..LOOKS {
        let found = engine.labelled(&label).await?;
        if found.is_empty() {
            break;
        }
        if look > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        for container in &found.containers {
            engine.remove_container_now(container).await?;
        }
        for network in &found.networks {
            engine.remove_network(network).await?;
        }
        for volume in &found.volumes {
            engine.remove_volume(volume).await?;
        }
    }
    let left = engine.labelled(&label).await?;
    if !left.is_empty() {
        anyhow::bail!(
            "Docker does not remove all of drill {}: {} containers, {} networks and {} volumes are left",
            record.id,
            left.containers.len(),
            left.networks.len(),
            left.volumes.len()
        );
    }
    fault::reached("drill-remove-folder").await;
    let folder = record.folder.clone();
    aside(move || remove_folder(&folder)).await?;
    record.clear(paths)
}

/// A program that was just killed may write one more file. Blocks.
fn remove_folder(folder: &Path) -> Result<()> {
    let mut looks = 1;
    loop {
        match std::fs::remove_dir_all(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !folder.exists() => {
                return Ok(());
            }
            Err(error) if looks >= LOOKS => {
                return Err(error).with_context(|| format!("cannot remove `{}`", folder.display()));
            }
            Err(_) => looks += 1,
        }
    }
}

/// Removes what killed drills have left; returns how many that were. One that is at work is left alone.
pub async fn remove_killed(paths: &Paths) -> Result<usize> {
    if record::drilling(paths)?.is_empty() {
        return Ok(0);
    }
    let _lock = match Lock::take_to_drill(&paths.runtime, "recover") {
        Ok(lock) => lock,
        Err(error) if exit_of(&error) == Exit::Locked => return Ok(0),
        Err(error) => return Err(error),
    };
    remove_all_killed(paths).await
}

/// As [`remove_killed`], for who has the lock of drills.
pub async fn remove_all_killed(paths: &Paths) -> Result<usize> {
    let killed = record::drilling(paths)?;
    for record in &killed {
        let engine = Engine::connect(&record.socket).await?;
        remove(&engine, paths, record).await?;
    }
    Ok(killed.len())
}

/// Whether a killed drill has left something; one that is at work has not.
pub fn left_over(paths: &Paths) -> bool {
    let has_records = record::drilling(paths).is_ok_and(|records| !records.is_empty());
    has_records && lock::drill_holder(&paths.runtime).is_none()
}
