//! What ran before a restore put other data in its place, as far as a restore may replace it: kept with what is kept of the data, so that
//! taking the restore back brings both back.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{ComposeUp, ImagePlan};
use crate::discovery::Discovery;
use crate::error::Result;
use crate::model::{BackupId, UnitName};
use crate::restore::marks::{self, Mark};
use crate::restore::window::Window;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// For a stack: what ran.
    #[serde(default)]
    pub up: Option<ComposeUp>,
    /// Names of images that are given to the saved ones, with the ids that they led to.
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The container of a standalone unit.
    #[serde(default)]
    pub container: Option<Aside>,
    /// Ids of all containers, running or not.
    #[serde(default)]
    pub containers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub name: String,
    pub image: String,
}

/// A container that makes way for another one of its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    pub id: String,
    pub name: String,
}

/// What is still to be brought up once the data of a program is back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    pub program: Program,
    /// Names of its containers that were removed: they have to be made again.
    #[serde(default)]
    pub gone: Vec<String>,
}

impl Owed {
    /// How the operator brings it up himself, to go on a sentence; empty when there is no such command.
    pub fn next(&self) -> String {
        let up = self.program.up.as_ref().map(|up| up.commands());
        up.map_or_else(String::new, |up| {
            format!("; next: `{}`", up.join("`, then `"))
        })
    }
}

impl Program {
    /// What runs of `unit` here.
    pub fn here(host: &Discovery, unit: &UnitName, images: &[ImagePlan]) -> Self {
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
        Self {
            containers: containers.iter().map(|one| one.id.clone()).collect(),
            up: here.and_then(ComposeUp::here),
            tags: tags.collect(),
            container: container.map(|container| Aside {
                id: container.id.clone(),
                name: container.name.clone(),
            }),
        }
    }
}

/// The name that a container makes way under, for the restore `id`.
pub fn aside_name(name: &str, id: BackupId) -> String {
    let name = marks::beside(Path::new(name), Mark::Before, id);
    name.to_string_lossy().into_owned()
}

impl Window<'_> {
    /// Brings back what a restore replaced, after its data. Doing it twice is harmless.
    pub async fn bring_back(&mut self, owed: &Owed) -> Result<()> {
        let Owed { program, gone } = owed;
        let engine = self.engine;
        let mut is_replaced = match &program.container {
            Some(aside) => self.make_way_back(aside).await?,
            None => false,
        };
        for id in &program.containers {
            is_replaced |= engine.inspect(id).await?.is_none();
        }
        if is_replaced {
            for tag in &program.tags {
                engine.tag(&tag.image, &tag.name).await?;
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        let Some(up) = &program.up else {
            anyhow::bail!("{} was removed: make it again", gone.join(", "));
        };
        for up in up.each() {
            let ended = self.docker(&up.args(), up.environment()).await;
            ended.map_err(|error| error.context(format!("`{}` failed", up.command())))?;
        }
        Ok(())
    }

    /// Gives a container its name back, which another one has. Whether that had to be done.
    async fn make_way_back(&mut self, aside: &Aside) -> Result<bool> {
        let engine = self.engine;
        if engine.inspect(&aside.id).await?.is_none() {
            return Ok(false);
        }
        let taken = engine
            .inspect(&aside.name)
            .await?
            .and_then(|other| other.id);
        if taken.as_ref() == Some(&aside.id) {
            return Ok(false);
        }
        if let Some(other) = taken {
            let name = aside_name(&aside.name, self.id);
            engine.rename_container(&other, &name).await?;
        }
        engine.rename_container(&aside.id, &aside.name).await?;
        Ok(true)
    }
}
