//! Where each source belongs on this host, by its name and by what Docker knows.

use std::path::PathBuf;

use super::nesting::{Bystander, Inside};
use super::pieces::Piece;
use super::places::Places;
use crate::discovery::place::{self, Place};
use crate::drivers::docker::Volume;
use crate::error::{Exit, Failure, Result};
use crate::model::SourceKey;
use crate::model::point::SourceRecord;
use crate::points::recipe::NewVolume;
use crate::points::recipe::{Recipe, SavedVolume};
use crate::restore::plan::ground::Ground;

impl Ground<'_> {
    /// Where each source belongs on this host, by its name and by what Docker knows.
    pub async fn locate(
        &self,
        sources: &[SourceRecord],
        recipe: &Recipe,
        places: &Places,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Located>> {
        let mut located = Vec::new();
        for source in sources {
            let source = source.clone();
            located.push(match (places.of(&source.key)?, &source.key) {
                (Some(path), _) => Located {
                    source,
                    path,
                    piece: Piece::default(),
                    named_by: NamedBy::Operator,
                    is_in_docker: false,
                    new_volume: None,
                    is_renamed: false,
                    inside: None,
                    beneath: None,
                },
                (None, SourceKey::Bind { path }) => Located {
                    path: path.clone(),
                    source,
                    piece: Piece::default(),
                    named_by: NamedBy::Recipe,
                    is_in_docker: false,
                    new_volume: None,
                    is_renamed: false,
                    inside: None,
                    beneath: None,
                },
                (None, SourceKey::Volume { name }) => {
                    let name = name.clone();
                    check_volume_name(&name)?;
                    self.locate_volume(source, &name, recipe, places, warnings)
                        .await?
                }
            });
        }
        Ok(located)
    }

    /// The sources of the point that are not among `wanted`, and where they are on this host when it is that which is restored to.
    pub async fn bystanders(
        &self,
        recipe: &Recipe,
        wanted: &[SourceRecord],
        places: &Places,
    ) -> Result<Vec<Bystander>> {
        let others = recipe.record.sources.iter();
        let others = others.filter(|other| !wanted.iter().any(|source| source.key == other.key));
        let mut bystanders = Vec::new();
        for source in others {
            let path = match &source.key {
                _ if places.folder().is_some() => None,
                SourceKey::Bind { path } => Some(path.clone()),
                SourceKey::Volume { name } => {
                    check_volume_name(name)?;
                    match self
                        .engine
                        .volume(name)
                        .await?
                        .map(|volume| place::of_volume(&volume))
                    {
                        Some(Place::Path(path)) => Some(path),
                        _ => None,
                    }
                }
            };
            bystanders.push(Bystander {
                source: source.clone(),
                path,
            });
        }
        Ok(bystanders)
    }

    async fn locate_volume(
        &self,
        source: SourceRecord,
        saved_name: &str,
        recipe: &Recipe,
        places: &Places,
        warnings: &mut Vec<String>,
    ) -> Result<Located> {
        let saved = recipe.volume(&self.repository.kopia, saved_name);
        let name = places.name_of_volume(saved_name);
        let (path, new_volume) = match self.engine.volume(&name).await? {
            Some(_) if name != saved_name => return Err(places.is_taken(&name).into()),
            Some(volume) => (path_of(&name, &volume)?, None),
            None => {
                let saved = saved.await?;
                let saved = saved.map(|saved| places.relabelled(saved_name, saved));
                self.missing_volume(&name, saved, warnings)?
            }
        };
        let is_in_docker = path.starts_with(&self.docker_root);
        Ok(Located {
            source,
            piece: Piece::default(),
            named_by: if is_in_docker || new_volume.is_none() {
                NamedBy::Docker
            } else if name != saved_name {
                // In the directory of the copy.
                NamedBy::Operator
            } else {
                NamedBy::Recipe
            },
            is_in_docker,
            is_renamed: name != saved_name,
            inside: None,
            beneath: None,
            path,
            new_volume,
        })
    }

    fn missing_volume(
        &self,
        name: &str,
        saved: Option<SavedVolume>,
        warnings: &mut Vec<String>,
    ) -> Result<(PathBuf, Option<NewVolume>)> {
        if saved.is_none() {
            warnings.push(format!(
                "the recipe does not describe volume `{name}`: it is made without options and labels"
            ));
        }
        let saved = saved.unwrap_or_else(|| SavedVolume {
            driver: "local".to_owned(),
            options: None,
            labels: None,
        });
        // Where Docker puts it; checked when it is made.
        let volume = Volume {
            name: name.to_owned(),
            driver: saved.driver.clone(),
            mountpoint: self
                .docker_root
                .join("volumes")
                .join(name)
                .join("_data")
                .display()
                .to_string(),
            options: saved
                .options
                .clone()
                .unwrap_or_default()
                .into_iter()
                .collect(),
            ..Volume::default()
        };
        let path = path_of(name, &volume)?;
        let new = NewVolume {
            name: name.to_owned(),
            saved,
        };
        Ok((path, Some(new)))
    }
}

/// A source and the path that it belongs to, by name alone.
pub struct Located {
    pub source: SourceRecord,
    pub path: PathBuf,
    pub piece: Piece,
    pub named_by: NamedBy,
    /// It is below Docker's own directory, where volumes are.
    pub is_in_docker: bool,
    pub new_volume: Option<NewVolume>,
    /// A volume that is made under another name, for a copy of the unit.
    pub is_renamed: bool,
    /// Its data goes to its place with that of an outer source.
    pub inside: Option<Inside>,
    /// The source's own place, for a piece that is put back into it.
    pub beneath: Option<Beneath>,
}

/// A directory that containers write to.
#[derive(Clone, Debug)]
pub struct Beneath {
    pub root: PathBuf,
    /// Nothing beside it is on its file system.
    pub is_fixed: bool,
}

/// Who named this path, and so how far it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    Docker,
    /// A place in the directory that was asked for.
    Operator,
    /// Only the recipe says so.
    Recipe,
}

/// Where the data of `volume` is on this host's disks.
fn path_of(name: &str, volume: &Volume) -> Result<PathBuf> {
    match place::of_volume(volume) {
        Place::Path(path) => Ok(path),
        Place::Elsewhere(why) | Place::Memory(why) => Err(Failure::new(
            Exit::UnitsFailed,
            format!("volume `{name}` cannot be restored in its place: {why}"),
        )
        .hint("restore the others by naming them: `--volume` (can be repeated)")
        .note("nothing was changed")
        .into()),
        Place::Nothing => anyhow::bail!("volume `{name}` was not found"),
    }
}

/// Docker's own rule; the name becomes part of a path and of a request.
pub fn check_volume_name(name: &str) -> Result<()> {
    let is_first = |c: char| c.is_ascii_alphanumeric();
    let is_later = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let mut characters = name.chars();
    if characters.next().is_some_and(is_first) && characters.all(is_later) && name.len() <= 255 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::UnitsFailed,
        format!(
            "the recipe names a volume `{}`, which Docker cannot have",
            crate::base::text::printable(name)
        ),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_docker_can_have_become_paths() {
        for fine in ["a", "web_db", "0.x-y", &"f".repeat(64)] {
            check_volume_name(fine).unwrap();
        }
        for hostile in [
            "",
            ".",
            "..",
            "../x",
            "../../../../tmp/x",
            "a/b",
            "a/../b",
            "_x",
            "a b",
            "a\n",
            "a?b",
            "ä",
        ] {
            assert!(check_volume_name(hostile).is_err(), "{hostile:?}");
        }
    }
}
