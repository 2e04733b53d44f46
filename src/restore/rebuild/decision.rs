//! What is made and started besides the data, decided before anything is touched.

use super::container;
use std::path::PathBuf;

use serde::Serialize;

use super::conflicts::Conflict;
use super::images::ImagePlan;
use super::networks::{NetworkAction, NetworkPlan};

use super::differences::Difference;
use super::members::Member;
use crate::drivers::docker::ComposeUp;
use crate::model::point::PointRecord;
use crate::points::recipe::NewVolume;
use crate::restore::request::{BringUp, OtherImages};
use crate::swap::program::Program;

/// What is made besides the data. Empty for a part of a unit.
#[derive(Debug, Default, Serialize)]
pub struct Rebuild {
    pub networks: Vec<NetworkPlan>,
    /// Volumes without data in the point that are missing and are made.
    #[serde(serialize_with = "volume_names")]
    pub volumes: Vec<NewVolume>,
    pub images: Vec<ImagePlan>,
    pub conflicts: Vec<Conflict>,
    /// The container of a standalone unit, when it is not here.
    pub container: Option<ContainerPlan>,
    /// `None` when there is nothing that could be started.
    pub start: Option<Start>,
    #[serde(skip)]
    pub bring_up: BringUp,
    /// The unit has containers here.
    #[serde(skip)]
    pub is_here: bool,
    /// Pieces go to a directory of their own: there is nothing to start.
    #[serde(skip)]
    pub is_elsewhere: bool,
    /// Containers here that are not those of the point: they are not started on its data.
    pub differences: Vec<Difference>,
    /// Why the unit cannot be started here: its data is restored all the same.
    pub obstacles: Vec<String>,
    #[serde(skip)]
    pub other_images: OtherImages,
    /// What was saved of the unit's containers: they should be there when it is up.
    #[serde(skip)]
    pub members: Vec<Member>,
    /// Names of containers of others that it lives in, has volumes of or is linked to, and that are not here.
    #[serde(skip)]
    pub needs: Vec<String>,
    /// What runs now, if it makes way.
    #[serde(skip)]
    pub before: Option<Program>,
    #[serde(skip)]
    pub warnings: Vec<String>,
}

/// How a unit is started.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Start {
    Compose(Box<ComposeUp>),
    Container { name: String },
}

#[derive(Debug, Serialize)]
pub struct ContainerPlan {
    pub name: String,
    /// Where the `docker run` for reading is written to.
    pub script: PathBuf,
    /// Why it is not made; `None`: it is made.
    pub refusal: Option<String>,
    /// The id of the container here that makes way for it, when it is to be started.
    pub replaces: Option<String>,
    #[serde(skip)]
    pub request: container::Request,
    #[serde(skip)]
    pub script_text: String,
}

/// What starts a stack where it was; `None` for a unit that is no compose project.
pub fn start_command(record: &PointRecord) -> Option<String> {
    ComposeUp::of(record).map(|up| up.commands().join("\n"))
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

    /// The containers that are here stay down: they would run another program on the data of the point.
    pub fn holds(&self) -> bool {
        !self.differences.is_empty()
    }

    /// How the unit comes to life where it has no containers, or others.
    pub fn next_steps(&self, record: &PointRecord) -> Vec<String> {
        if self.is_elsewhere || (self.is_here && !self.holds()) {
            return Vec::new();
        }
        let mut steps: Vec<String> = match &self.start {
            Some(Start::Compose(_)) => self.wanted_images().flat_map(ImagePlan::commands).collect(),
            _ => Vec::new(),
        };
        match (&self.start, &self.container) {
            (Some(Start::Compose(up)), _) => steps.extend(up.commands()),
            (Some(Start::Container { .. }), Some(container)) if container.replaces.is_some() => {
                steps.push(format!(
                    "{}   (makes the saved container, and keeps the one that is here under another name)",
                    restore_command(record, &["--up"])
                ));
            }
            (Some(Start::Container { name }), _) => {
                steps.push(shell_words::join(["docker", "start", name.as_str()]));
            }
            (None, Some(container)) if container.refusal.is_none() => {}
            (None, Some(container)) => steps.push(format!(
                "make it by hand, with what `{}` says",
                container.script.display()
            )),
            (None, None) => steps.extend(self.by_hand(record)),
        }
        steps
    }

    fn by_hand(&self, record: &PointRecord) -> Option<String> {
        let Some(project) = &record.project else {
            return Some(format!("make container `{}` again", record.unit));
        };
        if !project.services.is_empty() && project.services.iter().all(|one| one.running == 0) {
            // Nothing ran: nothing is missing.
            return None;
        }
        Some(format!(
            "write its compose files: the point has none. `{}` shows how its containers were made, in `docker/containers/`",
            restore_command(record, &["--recipe", "--target", "DIR"])
        ))
    }

    /// Those that have to be fetched for what is started.
    pub fn wanted_images(&self) -> impl Iterator<Item = &ImagePlan> {
        let ran = |name: &String| {
            let member = self.members.iter().find(|member| member.name == *name);
            member.is_none_or(|member| member.was_running)
        };
        let wanted = self.images.iter().filter(|image| image.is_wanted());
        wanted.filter(move |image| image.containers.iter().any(ran))
    }
}

/// What restores this point, with `more`.
fn restore_command(record: &PointRecord, more: &[&str]) -> String {
    let id = record.backup_id.to_string();
    let unit = ["kopi-docka", "restore", "--unit", record.unit.as_str()];
    shell_words::join([&unit[..], &["--backup-id", &id], more].concat())
}
