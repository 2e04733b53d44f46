//! Bringing the unit itself back, after its data: networks, images, the containers, and what is in their way.
//!
//! Nothing that is here is changed or removed: what differs is told. Everything in [`Saved`] was written by whoever wrote the
//! repository: it goes to Docker as a value, and to a terminal with its control characters escaped.
//!
//! Reading order: [`saved`] (what the point has) → [`plan`] ([`networks`] with [`subnet`], [`images`], [`conflicts`] with [`ports`],
//! [`container`]; [`relocated`] when it goes elsewhere) → [`show`] → [`up`] (carries it out, with [`pull`], [`compose`] and [`run_line`]).

mod compose;
mod conflicts;
mod container;
mod images;
mod networks;
mod plan;
mod ports;
mod pull;
mod relocated;
mod run_line;
mod saved;
mod show;
mod subnet;
mod up;

use std::path::PathBuf;

use serde::Serialize;

pub use compose::version as compose_version;
pub use container::anonymous_volumes;
pub use saved::Saved;
pub use show::plan_lines;
pub use up::remove_networks;

use compose::ComposeUp;
use conflicts::Conflict;
use images::ImagePlan;
use networks::{NetworkAction, NetworkPlan};

use super::plan::NewVolume;
use crate::model::point::PointRecord;

/// Whether a unit is started when its data is back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BringUp {
    #[default]
    No,
    /// When it has no containers here.
    Ask,
    Yes,
}

/// What is made besides the data. Empty for a part of a unit.
#[derive(Debug, Default, Serialize)]
pub struct Rebuild {
    pub networks: Vec<NetworkPlan>,
    /// Volumes without data in the point that are missing and are made.
    #[serde(serialize_with = "volume_names")]
    pub volumes: Vec<NewVolume>,
    pub images: Vec<ImagePlan>,
    pub conflicts: Vec<Conflict>,
    /// The container of a standalone unit, when it isn't here.
    pub container: Option<ContainerPlan>,
    /// `None` when there is nothing that could be started.
    pub start: Option<Start>,
    #[serde(skip)]
    pub bring_up: BringUp,
    /// The unit has containers here.
    #[serde(skip)]
    pub is_here: bool,
    /// Pieces go to a folder of their own: there is nothing to start.
    #[serde(skip)]
    pub is_elsewhere: bool,
    /// What was saved of the unit's containers: they should be there when it is up.
    #[serde(skip)]
    pub members: Vec<Member>,
    /// Names of containers of others that it lives in, has volumes of or is linked to, and that are not here.
    #[serde(skip)]
    pub needs: Vec<String>,
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// How a unit is started.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Start {
    Compose(ComposeUp),
    Container { name: String },
}

#[derive(Debug, Serialize)]
pub struct ContainerPlan {
    pub name: String,
    /// Where the `docker run` for reading is written to.
    pub script: PathBuf,
    /// Why it is not made; `None`: it is made.
    pub refusal: Option<String>,
    #[serde(skip)]
    request: container::Request,
    #[serde(skip)]
    script_text: String,
}

/// A container as it was when it was saved.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    /// Compose service and number.
    pub service: Option<(String, Option<u32>)>,
    pub was_running: bool,
}

/// What starts a stack where it was; `None` for a unit that is no compose project.
pub fn start_command(record: &PointRecord) -> Option<String> {
    ComposeUp::of(record).map(|up| up.command())
}

fn volume_names<S: serde::Serializer>(
    volumes: &[NewVolume],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(volumes.iter().map(|volume| &volume.name))
}

impl Rebuild {
    /// Nothing is made, and nothing can be started.
    pub fn is_empty(&self) -> bool {
        self.new_networks().is_empty()
            && self.volumes.is_empty()
            && self.container.is_none()
            && (self.start.is_none() || self.bring_up == BringUp::No)
    }

    pub fn new_networks(&self) -> Vec<&NetworkPlan> {
        let networks = self.networks.iter();
        networks
            .filter(|network| network.action == NetworkAction::Create)
            .collect()
    }

    pub fn script(&self) -> Option<PathBuf> {
        Some(self.container.as_ref()?.script.clone())
    }

    /// How the unit comes to life where it has no containers.
    pub fn next_steps(&self, record: &PointRecord) -> Vec<String> {
        if self.is_here || self.is_elsewhere {
            return Vec::new();
        }
        let step = match (&self.start, &self.container) {
            (Some(Start::Compose(up)), _) => up.command(),
            (Some(Start::Container { name }), _) => {
                shell_words::join(["docker", "start", name.as_str()])
            }
            (None, Some(container)) => {
                format!(
                    "make it by hand, with what `{}` says",
                    container.script.display()
                )
            }
            (None, None) => match start_command(record) {
                Some(command) => command,
                None => format!("make container `{}` again", record.unit),
            },
        };
        vec![step]
    }
}
