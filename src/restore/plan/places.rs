//! Where things go that do not go back to where they were: into a plain directory, or with their unit to a new home.
//!
//! A home keeps the shape of the project: what was below its working directory is so again. What was elsewhere is below
//! [`OUTSIDE`], at its old path.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::discovery::labels;
use crate::discovery::place::{self, Place};
use crate::drivers::docker::Volume;
use crate::error::{Exit, Failure, Result};
use crate::model::{SourceKey, UnitName};
use crate::points::recipe::SavedVolume;
use crate::restore::request::Destination;

/// Where bind mounts go whose paths are not below the project's working directory.
const OUTSIDE: &str = "outside";

/// The option of a volume that says where its data is.
const DEVICE: &str = "device";

/// Maps names and paths of a point to those that they are restored under.
#[derive(Clone, Debug)]
pub struct Places {
    to: Destination,
    /// Of the project, on the host that made the point.
    working_dir: Option<PathBuf>,
    /// New names of volumes.
    renamed: BTreeMap<String, Renamed>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    pub name: String,
    /// What the compose files call it.
    pub key: String,
    /// Compose does not make the old name from the project's: the compose files have it.
    pub is_explicit: bool,
    /// Where its data is by its options: the original's is elsewhere, and is no copy's.
    pub device: Option<PathBuf>,
}

impl Places {
    pub fn new(to: Destination, working_dir: Option<PathBuf>) -> Self {
        Self {
            to,
            working_dir,
            renamed: BTreeMap::new(),
        }
    }

    /// The directory that everything with a path goes to; `None` in place.
    pub fn folder(&self) -> Option<&Path> {
        match &self.to {
            Destination::InPlace => None,
            Destination::Folder(folder) | Destination::Moved { folder, .. } => Some(folder),
        }
    }

    /// The unit gets a new home, as opposed to plain directories.
    pub fn is_move(&self) -> bool {
        matches!(self.to, Destination::Moved { .. })
    }

    pub fn project(&self) -> Option<&UnitName> {
        match &self.to {
            Destination::Moved { project, .. } => project.as_ref(),
            _ => None,
        }
    }

    /// Gives volume `name` of `unit` a name for the new project.
    pub fn rename(
        &mut self,
        unit: &UnitName,
        name: &str,
        saved: Option<&SavedVolume>,
    ) -> Result<()> {
        let Some(project) = self.project() else {
            return Ok(());
        };
        let labels = saved.and_then(|saved| saved.labels.as_ref());
        let label = |key: &str| labels.and_then(|labels| labels.get(key));
        let Some(key) = label(labels::VOLUME)
            .filter(|_| label(labels::PROJECT).is_some_and(|project| project == unit.as_str()))
        else {
            return Err(Failure::new(
                Exit::UnitsFailed,
                format!("volume `{name}` does not belong to project `{unit}`: a copy would share it with the original"),
            )
            .hint(format!("take its data as a plain directory: `--volume {name} --target DIR`"))
            .note("nothing was changed")
            .into());
        };
        let device = saved.map(|saved| self.device(name, saved)).transpose()?;
        let renamed = Renamed {
            name: format!("{project}_{key}"),
            key: key.clone(),
            is_explicit: name != format!("{unit}_{key}"),
            device: device.flatten(),
        };
        self.renamed.insert(name.to_owned(), renamed);
        Ok(())
    }

    /// Gives the volume `id`, which has no name, one for the new project: the overlay mounts it.
    pub fn name_unnamed(&mut self, id: &str) {
        let Some(project) = self.project() else {
            return;
        };
        let key = unnamed_key(id);
        let renamed = Renamed {
            name: format!("{project}_{key}"),
            key,
            is_explicit: false,
            device: None,
        };
        self.renamed.insert(id.to_owned(), renamed);
    }

    /// What `name` is called here, when that is another name.
    pub fn renamed(&self, name: &str) -> Option<&Renamed> {
        self.renamed.get(name)
    }

    /// Where a copy of the volume has its data when the options of the original name a place.
    fn device(&self, name: &str, saved: &SavedVolume) -> Result<Option<PathBuf>> {
        let options = saved.options.clone().unwrap_or_default();
        let has_device = options.get(DEVICE).is_some_and(|device| !device.is_empty());
        let volume = Volume {
            driver: saved.driver.clone(),
            options: options.into_iter().collect(),
            ..Volume::default()
        };
        match place::of_volume(&volume) {
            Place::Path(path) if has_device => self.path(&path).map(Some),
            Place::Elsewhere(why) => Err(Failure::new(
                Exit::UnitsFailed,
                format!("a copy of volume `{name}` would use what the original uses: {why}"),
            )
            .hint(format!(
                "take its data as a plain directory: `--volume {name} --target DIR`"
            ))
            .note("nothing was changed")
            .into()),
            _ => Ok(None),
        }
    }

    /// What the compose files do not make from the project's name by themselves.
    pub fn explicit_volumes(&self) -> impl Iterator<Item = &Renamed> {
        let all = self.renamed.values();
        all.filter(|renamed| renamed.is_explicit || renamed.device.is_some())
    }

    pub fn name_of_volume(&self, name: &str) -> String {
        self.renamed
            .get(name)
            .map_or_else(|| name.to_owned(), |renamed| renamed.name.clone())
    }

    /// As it is to be made: compose takes a volume for its own by these labels.
    pub fn relabelled(&self, name: &str, mut saved: SavedVolume) -> SavedVolume {
        if let (Some(project), Some(labels)) = (self.project(), &mut saved.labels) {
            labels.insert(labels::PROJECT.to_owned(), project.to_string());
            // It has a name now: `docker volume prune` must leave it alone.
            labels.remove(labels::ANONYMOUS_VOLUME);
        }
        let device = self
            .renamed(name)
            .and_then(|renamed| renamed.device.as_ref());
        if let (Some(device), Some(options)) = (device, &mut saved.options) {
            options.insert(DEVICE.to_owned(), device.display().to_string());
        }
        saved
    }

    /// Where `key` goes when the operator has said so; `None` when it goes where Docker or the recipe says.
    pub fn of(&self, key: &SourceKey) -> Result<Option<PathBuf>> {
        Ok(match (&self.to, key) {
            (Destination::InPlace, _) | (Destination::Moved { .. }, SourceKey::Volume { .. }) => {
                None
            }
            (Destination::Folder(folder), SourceKey::Volume { name }) => {
                let name = below(Path::new(name))?;
                Some(folder.join("volumes").join(name))
            }
            (Destination::Folder(folder), SourceKey::Bind { path }) => {
                Some(folder.join("binds").join(below(path)?))
            }
            (Destination::Moved { .. }, SourceKey::Bind { path }) => Some(self.path(path)?),
        })
    }

    /// Where something goes that was at `path`.
    pub fn path(&self, path: &Path) -> Result<PathBuf> {
        let Destination::Moved { folder, .. } = &self.to else {
            return Ok(path.to_owned());
        };
        Ok(match self.inside(path) {
            Some(inner) if inner.as_os_str().is_empty() => folder.clone(),
            Some(inner) => folder.join(below(inner)?),
            None => folder.join(OUTSIDE).join(below(path)?),
        })
    }

    /// Where a file goes that was at `path`: those outside of the project stay where they are, others may have them in use.
    pub fn file(&self, path: &Path) -> Result<PathBuf> {
        match self.inside(path) {
            Some(_) => self.path(path),
            None => Ok(path.to_owned()),
        }
    }

    /// `path` below the project's working directory.
    pub fn inside<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(self.working_dir.as_ref()?).ok()
    }

    pub fn is_taken(&self, volume: &str) -> Failure {
        Failure::new(
            Exit::UnitsFailed,
            format!("volume `{volume}` already exists"),
        )
        .hint("choose another name for the new project: `--project`")
        .note("nothing was changed")
    }
}

/// What an overlay calls the volume `id`, which has no name.
pub fn unnamed_key(id: &str) -> String {
    let short: String = id.chars().take(12).collect();
    format!("kopi-docka-{short}")
}

/// `path` without its slash in front; refused when it could lead elsewhere than below.
fn below(path: &Path) -> Result<PathBuf> {
    let path = path.strip_prefix("/").unwrap_or(path);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if is_plain && !path.as_os_str().is_empty() && !path.as_os_str().as_encoded_bytes().contains(&0)
    {
        return Ok(path.to_owned());
    }
    Err(Failure::new(
        Exit::UnitsFailed,
        format!("the recipe names `{}`, which is not a path", path.display()),
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(working_dir: Option<&str>) -> Places {
        let project = UnitName::parse("copy").ok();
        let folder = PathBuf::from("/new");
        Places::new(
            Destination::Moved { folder, project },
            working_dir.map(PathBuf::from),
        )
    }

    fn saved(pairs: &[(&str, &str)]) -> SavedVolume {
        let labels = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        SavedVolume {
            driver: "local".to_owned(),
            options: None,
            labels: Some(labels.collect()),
        }
    }

    #[test]
    fn a_project_keeps_its_shape_and_the_rest_is_below_outside() {
        let places = moved(Some("/opt/app"));
        for (old, new) in [
            ("/opt/app", "/new"),
            ("/opt/app/data/x", "/new/data/x"),
            ("/opt/apple", "/new/outside/opt/apple"),
            ("/srv/media", "/new/outside/srv/media"),
        ] {
            assert_eq!(places.path(Path::new(old)).unwrap(), Path::new(new));
        }
        let alone = moved(None).path(Path::new("/opt/app/x")).unwrap();
        assert_eq!(alone, Path::new("/new/outside/opt/app/x"));
        for hostile in ["/opt/app/../../etc", "/srv/../etc/x", "/", ""] {
            assert!(places.path(Path::new(hostile)).is_err(), "{hostile}");
        }
    }

    #[test]
    fn pieces_are_filed_by_what_they_are() {
        let places = Places::new(Destination::Folder("/x".into()), None);
        let volume = |name: &str| SourceKey::Volume { name: name.into() };
        let bind = |path: &str| SourceKey::Bind { path: path.into() };
        let of = |key: SourceKey| places.of(&key);
        assert_eq!(
            of(volume("db")).unwrap().unwrap(),
            Path::new("/x/volumes/db")
        );
        assert_eq!(
            of(bind("/srv/d")).unwrap().unwrap(),
            Path::new("/x/binds/srv/d")
        );
        for hostile in ["..", "../../etc", "/", ""] {
            assert!(of(volume(hostile)).is_err(), "{hostile}");
            assert!(of(bind(hostile)).is_err(), "{hostile}");
        }
    }

    #[test]
    fn a_copy_never_has_its_data_where_the_original_has_it() {
        let unit = UnitName::parse("web").unwrap();
        let with = |options: &[(&str, &str)]| {
            let options = options.iter().map(|(k, v)| ((*k).into(), (*v).into()));
            SavedVolume {
                options: Some(options.collect()),
                ..saved(&[(labels::PROJECT, "web"), (labels::VOLUME, "db")])
            }
        };
        let bind = with(&[("type", "none"), ("o", "bind"), ("device", "/srv/db")]);
        let mut places = moved(Some("/opt/web"));
        places.rename(&unit, "web_db", Some(&bind)).unwrap();
        let device = Path::new("/new/outside/srv/db");
        let renamed = places.renamed("web_db").unwrap();
        assert_eq!(renamed.device.as_deref(), Some(device));
        let made = places.relabelled("web_db", bind).options.unwrap();
        assert_eq!(made["device"], "/new/outside/srv/db");
        assert_eq!(made["o"], "bind");
        let overlaid: Vec<&str> = places.explicit_volumes().map(|it| &*it.key).collect();
        assert_eq!(overlaid, ["db"]);
        let nfs = with(&[("type", "nfs"), ("o", "addr=nas"), ("device", ":/export")]);
        let refused = places.rename(&unit, "web_db", Some(&nfs)).unwrap_err();
        let text = crate::error::render(&refused);
        assert!(
            text.contains(":/export") && text.contains("--volume web_db --target"),
            "{text}"
        );
    }

    #[test]
    fn a_copy_gets_volumes_of_its_own_or_is_refused() {
        let unit = UnitName::parse("web").unwrap();
        let own = [(labels::PROJECT, "web"), (labels::VOLUME, "db")];
        let mut places = moved(None);
        places.rename(&unit, "web_db", Some(&saved(&own))).unwrap();
        places.rename(&unit, "fixed", Some(&saved(&own))).unwrap();
        assert_eq!(places.name_of_volume("web_db"), "copy_db");
        assert_eq!(places.explicit_volumes().count(), 1);
        let made = places.relabelled("web_db", saved(&own)).labels.unwrap();
        assert_eq!(made[labels::PROJECT], "copy");

        let id = "0123456789abcdef".repeat(4);
        places.name_unnamed(&id);
        assert_eq!(places.name_of_volume(&id), "copy_kopi-docka-0123456789ab");
        let made = places.relabelled(&id, saved(&[(labels::ANONYMOUS_VOLUME, "")]));
        assert!(!made.labels.unwrap().contains_key(labels::ANONYMOUS_VOLUME));
        for foreign in [&own[1..], &own[..1]] {
            let saved = saved(foreign);
            assert!(places.rename(&unit, "x", Some(&saved)).is_err());
        }
        assert!(places.rename(&unit, "x", None).is_err());
    }
}
