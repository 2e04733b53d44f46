//! What the isolation of a unit starts from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::model::point::REDACTED;

pub struct Given<'a> {
    /// The value of the label that everything of it gets.
    pub id: &'a str,
    /// The name of the compose project.
    pub project: &'a str,
    /// The drill's own directory.
    pub folder: &'a Path,
    /// What `docker compose config` says of each set of files, or [`super::config_of`].
    pub configs: &'a [Value],
    /// The services that are booted, by name.
    pub wanted: &'a BTreeMap<String, Wanted>,
    /// Whether the point holds the volume of that name.
    pub holds: &'a dyn Fn(&str) -> bool,
    /// Where the drill has what was at a path of the host, which is mounted read-only or not.
    pub place: &'a dyn Fn(&Path, bool) -> Placed,
    /// Variables that secrets may be taken from.
    pub variables: &'a BTreeMap<String, String>,
}

/// One service, and what its containers tell of it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The id of its image on this host.
    pub image: String,
    /// Names of the labels that the image has.
    pub image_labels: Vec<String>,
    /// Names of its containers: others of the unit may reach it by them.
    pub names: Vec<String>,
    /// Volumes without a name of their own, with what is saved in them: name, place, whether it is read-only.
    pub unnamed: Vec<(String, String, bool)>,
    /// It had its work done when the point was made.
    pub is_job: bool,
    /// The name of its container; `None` lets compose choose.
    pub container_name: Option<String>,
}

/// What becomes of a path of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// What is there. With `root` it is in something that is restored as a whole, and must not lead out of it.
    At {
        path: PathBuf,
        root: Option<PathBuf>,
    },
    /// Why the copy does not have it.
    Dropped(String),
}

/// A file of the drill that is no copy.
#[derive(Clone, PartialEq, Eq)]
pub struct MadeFile {
    pub path: PathBuf,
    pub content: String,
}

impl std::fmt::Debug for MadeFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Given<'_> {
    /// Each service that is wanted, with what compose says of it; the first set of files that has it counts.
    pub fn services(&self) -> impl Iterator<Item = (&String, &Wanted, &Value, &Value)> {
        self.wanted.iter().filter_map(|(name, wanted)| {
            let mut configs = self.configs.iter();
            let found =
                configs.find_map(|config| Some((config, config.get("services")?.get(name)?)));
            found.map(|(config, service)| (name, wanted, service, config))
        })
    }

    /// The value of a variable, where it is known.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (value != REDACTED).then_some(value)
    }
}

/// As it was written before compose doubled every `$`.
pub fn plain(text: &str) -> String {
    text.replace("$$", "$")
}

/// As compose takes it for text.
pub fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}
