//! What is on the host, sorted into units: what is stopped, what is read, and what is not, with the reason.
//!
//! Nothing here changes anything. Questions come first ([`docker`](crate::drivers::docker) and [`host`]), decisions after:
//! they are pure, so an odd host is a recording in a test.
//!
//! Reading order: [`rules`] (what the operator wants) → [`host`], [`mount_table`] (what paths really are) →
//! [`scene`] (all that decisions look at) → [`group`]: [`members`] (who belongs together), [`names`],
//! [`depends`], [`levels`], [`order`] (in which order), [`comeback`] (whether Docker could start it again), [`roles`] (what must go on) →
//! [`sources`]: [`place`] (where data is), [`judge`] (whether it is saved), [`system_paths`], [`policy`], [`globs`], [`writers`], [`tree`],
//! [`nested`] → [`compose`], [`compose_label`] (where its files are) → [`look`] (all of it, and kept right) → [`select`], [`measure`]
//! with [`holes`], [`limit`], [`disk`] (used by commands).

mod comeback;
pub mod compose;
mod compose_label;
pub mod container;
mod database;
mod depends;
pub mod disk;
pub mod globs;
mod group;
mod holes;
pub mod host;
mod judge;
pub mod labels;
mod levels;
mod limit;
mod look;
pub mod measure;
mod members;
pub mod mount_table;
mod names;
mod nested;
mod order;
pub mod place;
mod policy;
mod roles;
pub mod rules;
mod scene;
mod select;
mod sources;
pub mod system_paths;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod writers;

use std::path::PathBuf;

use serde::Serialize;

pub use comeback::{NoWayBack, no_way_back};
pub use limit::{BindLimit, leave_out_too_large};
pub use look::Look;
pub use measure::{Size, measure, measure_up_to};
pub use order::{joiners, order};
pub use rules::Rules;
pub use select::select;
pub use writers::can_write;

use crate::drivers::docker::Engine;
use crate::error::Result;
use crate::model::Unit;
use crate::model::point::IdWorld;
use crate::model::unit::Container;
use crate::ui::unnamed;

#[derive(Clone, Debug)]
pub struct Discovery {
    /// Every unit, also those that are disabled or can't be covered; by name.
    pub units: Vec<Unit>,
    /// Volumes that no container uses: nobody's data until somebody says so.
    pub orphan_volumes: Vec<OrphanVolume>,
    /// Every container of the host, one-offs and tasks among them: what the ids in `Source::writers` mean.
    pub containers: Vec<Container>,
    /// How the engine maps ids.
    pub ids: IdWorld,
}

impl Discovery {
    pub fn container(&self, id: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// Something else would replace it at once if it were stopped.
    pub fn is_orchestrated(&self, id: &str) -> bool {
        self.units
            .iter()
            .filter(|unit| unit.not_coverable.is_some())
            .any(|unit| unit.containers.iter().any(|container| container.id == id))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OrphanVolume {
    pub name: String,
    pub driver: String,
    pub is_anonymous: bool,
    /// `None` when it isn't on this host's disks.
    pub path: Option<PathBuf>,
}

/// Looks at the engine and the host, and decides.
pub async fn discover(engine: &Engine, rules: &Rules) -> Result<Discovery> {
    let host = look::Seen::look(engine, rules).await?.discovery(rules);
    for container in &host.containers {
        for mount in &container.mounts {
            unnamed::learn(&mount.name, &container.name, &mount.destination);
        }
    }
    Ok(host)
}
