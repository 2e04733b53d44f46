//! The containers of a unit as they were when they were saved: what has to run again, and what tells whether those that are here are
//! the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::discovery::labels;
use crate::discovery::place::clean;
use crate::drivers::docker::json::Json as _;
use crate::model::Container;
use crate::points::saved::{Saved, SavedImage, container_name, text};
use crate::restore::plan::places::Places;
use crate::ui::unnamed::is_unnamed;

/// A container as it was when it was saved, under the name that it has here.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub name: String,
    /// Compose service and number.
    pub service: Option<(String, Option<u32>)>,
    pub was_running: bool,
    /// Of `docker compose run`: no service.
    pub is_one_off: bool,
    pub image: SavedImage,
    /// As it ran: its own, or else the image's.
    pub user: String,
    /// What compose made of its service; empty where there is none.
    pub config_hash: String,
    pub compose_version: String,
    /// Of which files.
    pub config_files: String,
    pub mounts: Vec<Mounted>,
}

/// Something of the host that a container had mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    pub at: PathBuf,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Bind(PathBuf),
    Volume { name: String, is_anonymous: bool },
}

/// Every container of `saved`. `places` says what volumes are called here.
pub fn members(saved: &Saved, places: &Places) -> Vec<Member> {
    saved
        .containers
        .iter()
        .map(|inspect| member(saved, inspect, places))
        .collect()
}

/// What is known of containers without their dumps: images alone.
pub fn of_images(images: BTreeMap<String, SavedImage>) -> Vec<Member> {
    let member = |(name, image)| Member {
        name,
        image,
        ..Member::default()
    };
    images.into_iter().map(member).collect()
}

fn member(saved: &Saved, inspect: &Value, places: &Places) -> Member {
    let config = inspect.at("Config");
    let label = |name: &str| text(config.at("Labels").at(name));
    let service = label(labels::SERVICE);
    let (name, id) = (text(config.at("Image")), text(inspect.at("Image")));
    let known = saved.images.values().find(|image| image.id == id);
    let image = SavedImage {
        image: name.to_owned(),
        id: id.to_owned(),
        digests: known.map(|image| image.digests.clone()).unwrap_or_default(),
        platform: known
            .map(|image| image.platform.clone())
            .unwrap_or_default(),
    };
    let mounts = inspect.at("Mounts").as_array().into_iter().flatten();
    Member {
        name: container_name(inspect).to_owned(),
        service: (!service.is_empty())
            .then(|| (service.to_owned(), label(labels::NUMBER).parse().ok())),
        was_running: inspect.at("State").at("Running") == true,
        is_one_off: label(labels::ONE_OFF).eq_ignore_ascii_case("true"),
        image,
        user: text(config.at("User")).to_owned(),
        config_hash: label(labels::CONFIG_HASH).to_owned(),
        compose_version: label(labels::COMPOSE_VERSION).to_owned(),
        config_files: label(labels::CONFIG_FILES).to_owned(),
        mounts: mounts.filter_map(|mount| mounted(mount, places)).collect(),
    }
}

fn mounted(mount: &Value, places: &Places) -> Option<Mounted> {
    let what = match text(mount.at("Type")) {
        "bind" => What::Bind(clean(text(mount.at("Source")).as_ref())),
        "volume" => {
            let name = text(mount.at("Name"));
            let is_anonymous = is_unnamed(name);
            let is_renamed = places.renamed(name).is_some();
            if is_anonymous && !is_renamed && places.project().is_some() {
                // A copy does without, which was said.
                return None;
            }
            What::Volume {
                is_anonymous: is_anonymous && !is_renamed,
                name: places.name_of_volume(name),
            }
        }
        _ => return None,
    };
    Some(Mounted {
        at: clean(text(mount.at("Destination")).as_ref()),
        what,
    })
}

impl Member {
    /// Whether `container` is what it was, or has taken its place.
    pub fn is(&self, container: &Container) -> bool {
        match &self.service {
            Some((service, number)) => {
                container.service.as_ref() == Some(service) && container.number == *number
            }
            None => container.name == self.name,
        }
    }
}
