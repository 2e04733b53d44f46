//! The containers that a restore left behind, when what it keeps is discarded: the one that made way for the saved one goes, and what
//! was held down is given back to its owner.
//!
//! Never here: a container without the id that was written down, and one that has its own name again is never removed.

use crate::drivers::docker::Engine;
use crate::drivers::docker::json::Json as _;
use crate::error::{Exit, Failure, Result};
use crate::points::saved::container_name;
use crate::swap::held::{ALWAYS, Held, UNLESS_STOPPED};
use crate::swap::kept::Restored;
use crate::swap::program::aside_name;

pub struct Containers {
    /// `None` when there is nothing to ask Docker for.
    engine: Option<Engine>,
    /// Id and name of the one that made way.
    aside: Option<(String, String)>,
    /// Held containers that Docker would have started at boot before the restore, and does not now.
    changed: Vec<Changed>,
    /// Docker could not be asked: what is left for the operator. A full disk may be why, and discarding is what frees it.
    unasked: Option<String>,
}

struct Changed {
    id: String,
    name: String,
    is_running: bool,
}

/// What is there of `restored`. Docker is asked only when there can be something.
pub async fn of(restored: &Restored) -> Result<Containers> {
    let mut containers = Containers {
        engine: None,
        aside: None,
        changed: Vec::new(),
        unasked: None,
    };
    let before = restored.before.as_ref();
    let aside = before.and_then(|before| before.container.as_ref());
    let changed = || restored.held.iter().filter(|held| held.restarts_always);
    if aside.is_none() && changed().next().is_none() {
        return Ok(containers);
    }
    let engine = match Engine::connect(&restored.socket).await {
        Ok(engine) => engine,
        Err(error) => {
            let name = aside.map(|aside| aside_name(&aside.name, restored.id));
            let remove = name.map_or_else(String::new, |name| {
                format!("; `docker rm {name}` removes the container that made way, if there is one")
            });
            containers.unasked = Some(format!(
                "the containers that restore {} left down were not checked: {error:#}{remove}",
                restored.id
            ));
            return Ok(containers);
        }
    };
    if let Some(aside) = aside {
        let name = aside_name(&aside.name, restored.id);
        let found = engine.raw_container(&aside.id).await?;
        let is_aside = |found: &serde_json::Value| container_name(found) == name;
        containers.aside = found
            .is_some_and(|found| is_aside(&found))
            .then(|| (aside.id.clone(), name));
    }
    for held in changed() {
        containers
            .changed
            .extend(still_changed(&engine, held).await?);
    }
    containers.engine = Some(engine);
    Ok(containers)
}

/// `None` when it is gone, has made way, or was given another policy since.
async fn still_changed(engine: &Engine, held: &Held) -> Result<Option<Changed>> {
    let Some(found) = engine.raw_container(&held.entry.id).await? else {
        return Ok(None);
    };
    let is_ours = found.at("HostConfig").at("RestartPolicy").at("Name") == UNLESS_STOPPED
        && container_name(&found) == held.entry.name;
    Ok(is_ours.then(|| Changed {
        id: held.entry.id.clone(),
        name: held.entry.name.clone(),
        is_running: *found.at("State").at("Running") == true,
    }))
}

impl Containers {
    pub fn aside_name(&self) -> Option<&str> {
        self.aside.as_ref().map(|(_, name)| name.as_str())
    }

    /// Removes what made way; its volumes stay. One that runs again starts at boot again, as before the restore. Doing it twice is
    /// harmless. Returns what the operator has to decide.
    pub async fn let_go(&self) -> Result<Vec<String>> {
        let Some(engine) = &self.engine else {
            return Ok(self.unasked.clone().into_iter().collect());
        };
        if let Some((id, name)) = &self.aside {
            let found = engine.raw_container(id).await?;
            if found.is_some_and(|found| *found.at("State").at("Running") == true) {
                return Err(Failure::new(
                    Exit::UnitsFailed,
                    format!("container `{name}`, which made way for the saved one, runs"),
                )
                .hint(format!(
                    "stop it (`docker stop {name}`) to have it removed, or give it another name (`docker rename {name} NAME`) to keep it"
                ))
                .into());
            }
            engine.remove_container(id).await?;
        }
        let mut warnings = Vec::new();
        for changed in &self.changed {
            if changed.is_running {
                engine.set_restart_policy(&changed.id, ALWAYS).await?;
                continue;
            }
            let name = &changed.name;
            // Its program is not that of the data: Docker must not start it at the next boot.
            warnings.push(format!(
                "container `{name}` is still down and has the restart policy `{UNLESS_STOPPED}` since the restore; it was `{ALWAYS}`: `docker update --restart {ALWAYS} {name}` sets it again"
            ));
        }
        Ok(warnings)
    }
}
