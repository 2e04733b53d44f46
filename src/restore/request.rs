//! What is to be restored, and where to, from the flags or from the wizard.

use std::path::{Component, Path, PathBuf};

use super::plan::doors::Doors;
use crate::error::{Exit, Failure, Result};
use crate::model::source::SourceKey;
use crate::model::{PointId, UnitName};
use crate::points::choose::{Wanted, Which};
use crate::ui::unnamed;

/// Whether a unit is started when its data is back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BringUp {
    #[default]
    No,
    /// When it has no containers here.
    Ask,
    Yes,
}

/// Whether another image of the same name will do where the saved one is not available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherImages {
    #[default]
    No,
    Ask,
    Yes,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub unit: UnitName,
    pub which: Which,
    pub what: What,
    /// The host that made the point; `None` is this one.
    pub host: Option<String>,
    pub to: Destination,
    /// What refusals are opened.
    pub doors: Doors,
    /// Whether the unit is started when its data is back.
    pub bring_up: BringUp,
    /// Where the saved images are not available.
    pub other_images: OtherImages,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// All data, compose files, volumes, networks, containers.
    Unit,
    /// These names of volumes and paths of bind mounts.
    Sources(Vec<String>),
    /// Some files or directories of one source, by their paths in it.
    Files { source: String, paths: Vec<PathBuf> },
    /// The compose files and what they name, without data.
    Recipe,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Where it was.
    InPlace,
    /// Plain directories below this one. Nothing else is touched, and nothing is stopped.
    Folder(PathBuf),
    /// The unit lives in this directory from now on: its files and bind mounts go there, its volumes are Docker's as before.
    Moved {
        folder: PathBuf,
        /// A copy beside the original, with volumes of its own; `None`: the unit itself moves.
        project: Option<UnitName>,
    },
}

/// A project's name, as compose wants it.
pub fn project_name(text: &str) -> Result<UnitName> {
    let mut characters = text.chars();
    let is_first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !characters.next().is_some_and(is_first)
        || !characters.all(|c| is_first(c) || matches!(c, '-' | '_'))
    {
        anyhow::bail!(
            "a project's name has lower case letters, digits, `-` and `_`, and begins with a letter or digit"
        );
    }
    Ok(UnitName::parse(text)?)
}

/// A source as `--volume` names it.
pub fn handle(key: &SourceKey) -> String {
    match key {
        SourceKey::Volume { name } => name.clone(),
        SourceKey::Bind { path } => path.display().to_string(),
    }
}

/// Whether `name` is `key`, as `--volume` names it. A volume without a name is also meant by the first digits of its id.
pub fn is_meant(key: &SourceKey, name: &str) -> bool {
    let handle = handle(key);
    let is_short = name.len() >= unnamed::SHORT && unnamed::is_unnamed(&handle);
    let is_volume = matches!(key, SourceKey::Volume { .. });
    handle == name || (is_volume && is_short && handle.starts_with(name))
}

impl What {
    /// What the flags `--volume`, `--path` and `--recipe` say together.
    pub fn of_flags(volumes: Vec<String>, paths: Vec<PathBuf>, is_recipe: bool) -> Result<Self> {
        if is_recipe {
            return Ok(Self::Recipe);
        }
        if paths.is_empty() {
            return Ok(if volumes.is_empty() {
                Self::Unit
            } else {
                Self::Sources(volumes)
            });
        }
        let [source] = volumes.as_slice() else {
            return Err(Failure::new(
                Exit::Usage,
                "`--path` takes files of one volume or bind mount",
            )
            .hint("say which by one `--volume`")
            .into());
        };
        let paths = paths.iter().map(|path| path_in_source(path));
        Ok(Self::Files {
            source: source.clone(),
            paths: paths.collect::<Result<_>>()?,
        })
    }

    /// The sources that it names; none when it means them all, or none.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Unit | Self::Recipe => &[],
            Self::Sources(names) => names,
            Self::Files { source, .. } => std::slice::from_ref(source),
        }
    }
}

/// `path` as it is below the root of a source, without `.` and slashes at its ends.
fn path_in_source(path: &Path) -> Result<PathBuf> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let is_plain = parts
        .clone()
        .all(|part| matches!(part, Component::Normal(_)));
    let plain: PathBuf = parts.collect();
    if is_plain && !plain.as_os_str().is_empty() {
        return Ok(plain);
    }
    Err(Failure::new(
        Exit::Usage,
        format!(
            "`{}` is not a path inside a volume or bind mount",
            path.display()
        ),
    )
    .hint("give it relative to the volume's root, such as `--path sub/dir/file`")
    .into())
}

impl Destination {
    /// What the flags `--target` and `--project` say together. A path is taken from the working directory.
    pub fn of_flags(
        target: Option<PathBuf>,
        project: Option<UnitName>,
        what: &What,
    ) -> Result<Self> {
        let Some(target) = target else {
            if project.is_some() {
                return Err(Failure::new(
                    Exit::Usage,
                    "another project needs a directory of its own",
                )
                .hint("say where its files go: `--target DIR`")
                .into());
            }
            return Ok(Self::InPlace);
        };
        let folder = std::path::absolute(&target).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("`{}` is not a directory: {error}", target.display()),
            )
        })?;
        match what {
            What::Unit => Ok(Self::Moved { folder, project }),
            _ if project.is_some() => Err(Failure::new(
                Exit::Usage,
                "another project is made from a whole unit, not from pieces of it",
            )
            .hint("leave out `--project` to get the pieces as plain directories")
            .into()),
            _ => Ok(Self::Folder(folder)),
        }
    }
}

impl Request {
    pub fn is_whole_unit(&self) -> bool {
        self.what == What::Unit
    }

    /// Single files go back into a source that stays as it is otherwise.
    pub fn puts_files_back(&self) -> bool {
        matches!(self.what, What::Files { .. }) && self.to == Destination::InPlace
    }

    pub fn wanted(&self) -> Wanted {
        Wanted {
            unit: self.unit.clone(),
            which: self.which.clone(),
            host: self.host.clone(),
        }
    }

    /// The command line that asks for `only` of point `id`, to the same place; to be copied from a hint.
    pub fn command(&self, id: &PointId, only: &[String]) -> String {
        let mut words = vec![
            "kopi-docka".to_owned(),
            "restore".to_owned(),
            "--unit".to_owned(),
            self.unit.to_string(),
            "--backup-id".to_owned(),
            id.to_string(),
        ];
        if let Some(host) = &self.host {
            words.extend(["--host".to_owned(), host.clone()]);
        }
        for name in only {
            words.extend(["--volume".to_owned(), name.clone()]);
        }
        match &self.to {
            Destination::Folder(folder) | Destination::Moved { folder, .. } => {
                words.extend(["--target".to_owned(), folder.display().to_string()]);
            }
            Destination::InPlace => {}
        }
        if let Destination::Moved {
            project: Some(project),
            ..
        } = &self.to
            && only.is_empty()
        {
            words.extend(["--project".to_owned(), project.to_string()]);
        }
        shell_words::join(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::exit_of;

    #[test]
    fn a_volume_without_a_name_is_meant_by_the_first_digits_too() {
        let volume = |name: &str| SourceKey::Volume { name: name.into() };
        let id = "0123456789abcdef".repeat(4);
        for name in [&id, "0123456789ab", "0123456789abc"] {
            assert!(is_meant(&volume(&id), name), "{name}");
        }
        assert!(!is_meant(&volume(&id), "0123456789a"), "too short");
        assert!(!is_meant(&volume("0123456789abcdef"), "0123456789ab"));
    }

    #[test]
    fn only_paths_inside_a_source_name_files() {
        let files = |path: &str| What::of_flags(vec!["v".into()], vec![path.into()], false);
        for (given, plain) in [
            ("a", "a"),
            ("./a/b/", "a/b"),
            ("a//b", "a/b"),
            ("a/./b", "a/b"),
        ] {
            let What::Files { paths, .. } = files(given).unwrap() else {
                panic!("{given}");
            };
            assert_eq!(paths, [PathBuf::from(plain)]);
        }
        for hostile in ["", ".", "/", "/etc/passwd", "..", "a/../b", "./.."] {
            assert_eq!(exit_of(&files(hostile).unwrap_err()), Exit::Usage);
        }
        for volumes in [vec![], vec!["a".to_owned(), "b".to_owned()]] {
            assert!(What::of_flags(volumes, vec!["x".into()], false).is_err());
        }
    }

    #[test]
    fn pieces_become_plain_folders_and_a_unit_moves() {
        let pieces = What::Sources(vec!["v".to_owned()]);
        let target = || Some(PathBuf::from("/srv/x"));
        let project = || Some(UnitName::parse("copy").unwrap());
        let of = Destination::of_flags;
        assert_eq!(of(None, None, &pieces).unwrap(), Destination::InPlace);
        assert_eq!(
            of(target(), None, &pieces).unwrap(),
            Destination::Folder("/srv/x".into())
        );
        assert!(matches!(
            of(target(), project(), &What::Unit).unwrap(),
            Destination::Moved {
                project: Some(_),
                ..
            }
        ));
        assert!(of(target(), project(), &pieces).is_err());
        assert!(of(None, project(), &What::Unit).is_err());
    }
}
