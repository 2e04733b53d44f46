//! What runs of a unit on this host, as far as a restore may replace it.

use super::images::ImagePlan;
use crate::discovery::Discovery;
use crate::drivers::docker::ComposeUp;
use crate::model::UnitName;
use crate::swap::program::{Aside, Program, Tag};

/// What runs of `unit` here.
pub fn program_here(host: &Discovery, unit: &UnitName, images: &[ImagePlan]) -> Program {
    let here = host.units.iter().find(|known| known.name == *unit);
    let tags = images.iter().filter_map(|image| {
        let here = image.here.as_ref().filter(|_| image.is_wanted())?;
        Some(Tag {
            name: image.name.clone(),
            image: here.clone(),
        })
    });
    let containers = here.map_or(&[][..], |unit| &unit.containers);
    let alone = here.filter(|unit| unit.compose.is_none());
    let container = alone.and_then(|unit| unit.containers.first());
    Program {
        containers: containers.iter().map(|one| one.id.clone()).collect(),
        up: here.and_then(ComposeUp::here),
        tags: tags.collect(),
        container: container.map(|container| Aside {
            id: container.id.clone(),
            name: container.name.clone(),
        }),
    }
}
