//! Which places of this host a recipe may name, and by whose leave.
//!
//! A repository may be shared by many hosts, and one that was taken over must not get at the others by a recipe: a place that has power
//! over this host ([`power`]) needs the operator's word. That is a container here which has it mounted, `--allow-path`, a point of this very host
//! whose operator included the path in its backup or sits at the terminal, or an answer to a question. Files of a recipe need it
//! wherever they lie outside of the project's directory.

use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::power::power;
use crate::discovery::system_paths::{Ownership, ownership};
use crate::error::{Exit, Failure, Result};

/// By what places are judged.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Paths that containers here have mounted: what they say of themselves is the operator's own word.
    pub mounted: Vec<PathBuf>,
    /// Files and directories that the labels of the unit's containers here name.
    pub labelled: Vec<PathBuf>,
    /// Files that those of other units name.
    pub of_others: Vec<PathBuf>,
    /// Of the recipe's project, several when it was moved; in them are the files that a recipe is about.
    pub working_dirs: Vec<PathBuf>,
    /// `--allow-path`.
    pub allowed: Vec<PathBuf>,
    /// Our own configuration and credentials.
    pub own_files: Vec<PathBuf>,
    /// This machine made the point.
    pub is_own: bool,
    /// There is a terminal to prompt on.
    pub can_ask: bool,
}

/// A place that is restored to with consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Power {
    pub path: PathBuf,
    pub why: String,
    pub consent: Consent,
}

/// Whose leave that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// A container here has it mounted, or names it in its labels.
    Container,
    /// `--allow-path`
    Allowed,
    /// The operator of this host included it in the backup.
    Included,
    /// This host made the point, and its operator sees the plan.
    OwnHost,
    /// It is asked before anything is touched.
    Asked,
}

impl Consent {
    pub fn words(self) -> &'static str {
        match self {
            Self::Container => "a container here has it",
            Self::Allowed => "allowed by `--allow-path`",
            Self::Included => "included in the backup of this host",
            Self::OwnHost => "this host saved it",
            Self::Asked => "you are asked",
        }
    }
}

impl Trust {
    /// Whether data may be restored to `path`, which a recipe names; an error when it may not. `None` for a place like any other.
    pub fn data(&self, path: &Path, is_included: bool) -> Result<Option<Power>> {
        refuse_no_place(path)?;
        let Some(why) = self.power(path) else {
            return Ok(None);
        };
        // Many containers borrow files of the system, `/etc/localtime` say, that are not theirs to replace.
        let is_systems = ownership(path, true) != Ownership::Operator;
        let is_mounted = !is_systems && self.mounted.iter().any(|known| known == path);
        self.leave(path, why, is_mounted, is_included).map(Some)
    }

    /// The same for a file of the recipe, or what a link of it leads to.
    pub fn file(&self, path: &Path) -> Result<Option<Power>> {
        refuse_no_place(path)?;
        let is_known = self
            .mounted
            .iter()
            .chain(&self.labelled)
            .any(|known| known == path);
        let power = self.power(path);
        let is_in_project = self
            .working_dirs
            .iter()
            .any(|folder| path.starts_with(folder));
        let is_in_known = || {
            let mut labelled = self.labelled.iter();
            labelled.any(|folder| path.starts_with(folder))
        };
        let is_others = self.of_others.iter().any(|other| other == path) && !is_known;
        let why = match power {
            None if is_others => "another project here is made from it".to_owned(),
            None if is_in_project || is_known || is_in_known() => return Ok(None),
            None => "it is outside of the project's directory".to_owned(),
            Some(why) => why,
        };
        self.leave(path, why, is_known, false).map(Some)
    }

    fn power(&self, path: &Path) -> Option<String> {
        let is_own = |own: &PathBuf| own.starts_with(path) || path.starts_with(own);
        if self.own_files.iter().any(is_own) {
            return Some("kopi-docka's own configuration or credentials are there".to_owned());
        }
        power(path).map(str::to_owned)
    }

    fn leave(&self, path: &Path, why: String, is_known: bool, is_included: bool) -> Result<Power> {
        let is_allowed = || self.allowed.iter().any(|allowed| path.starts_with(allowed));
        let consent = if is_known {
            Consent::Container
        } else if is_allowed() {
            Consent::Allowed
        } else if self.is_own && is_included {
            Consent::Included
        } else if self.can_ask && self.is_own {
            Consent::OwnHost
        } else if self.can_ask {
            Consent::Asked
        } else {
            return Err(refused(path, &why)
                .hint(format!(
                    "if that is what you want: `--allow-path {}`, or run it on a terminal to be asked",
                    shell_words::quote(&path.to_string_lossy())
                ))
                .into());
        };
        Ok(Power {
            path: path.to_owned(),
            why,
            consent,
        })
    }
}

/// Whether a container that has `path` mounted has power over the host by it.
pub fn is_powerful(path: &Path) -> bool {
    refuse_no_place(path).is_err() || power(path).is_some()
}

/// What no leave opens: no plain path, the whole host, the kernel's own.
pub fn refuse_no_place(path: &Path) -> Result<()> {
    let is_plain = path.is_absolute()
        && !path.as_os_str().as_encoded_bytes().contains(&0)
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let is_kernels = ["/proc", "/sys", "/dev"]
        .iter()
        .any(|tree| path.starts_with(tree));
    if !is_plain || is_kernels || path == Path::new("/") {
        return Err(refused(path, "it is not a place for the data of a unit").into());
    }
    Ok(())
}

pub fn refused(path: &Path, why: &str) -> Failure {
    Failure::new(
        Exit::UnitsFailed,
        format!("nothing is restored to `{}`: {why}", path.display()),
    )
    .hint("name what is to be restored without it: `--volume` (can be repeated)")
}

#[cfg(test)]
mod tests;
