//! What ran before a restore put other data in its place, as far as a restore may replace it: kept with what is kept of the data, so that
//! taking the restore back brings both back.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::marks::{self, Mark};
use crate::drivers::docker::ComposeUp;
use crate::model::BackupId;

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

/// The name that a container makes way under, for the restore `id`.
pub fn aside_name(name: &str, id: BackupId) -> String {
    let name = marks::beside(Path::new(name), Mark::Before, id);
    name.to_string_lossy().into_owned()
}
