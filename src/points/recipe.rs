//! The recipe of a point: what is needed of it, brought into a directory that only we can see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use super::legacy::{self, Translation};
use super::lists;
use super::point::{Point, Tool};
use super::recipe_tree;
use super::saved::{Documents, Saved, SavedImage};
use crate::base::work;
use crate::discovery::labels;
use crate::drivers::kopia::{Entry, Kopia, Manifest, PROCESSES};
use crate::error::{Exit, Failure, Result};
use crate::model::point::{
    DOCUMENTS, FORMAT, FORMAT_OF_WHOLE, FileRecord, FileRole, PointRecord, RECORD_FILE,
    SourceRecord, dump_name,
};
use crate::model::{ObjectId, SourceKey};
use crate::ui::unnamed;

#[derive(Debug)]
pub struct Recipe {
    pub record: PointRecord,
    content: Content,
    /// Holds secrets: removed with this value; one that a killed run left is removed by the next.
    folder: tempfile::TempDir,
    /// Where the copy of each file is, or why there is none.
    files: BTreeMap<PathBuf, Result<PathBuf, String>>,
}

#[derive(Debug)]
enum Content {
    Ours {
        /// Of the recipe's snapshot.
        root: ObjectId,
        /// `None` for those that have each in a file of its own.
        documents: Option<Documents>,
    },
    /// Of the Python tool.
    Translated(Box<Translation>),
}

/// What Docker needs to make a volume again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SavedVolume {
    pub driver: String,
    /// `null` where there are none.
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
}

impl SavedVolume {
    /// From what `docker volume inspect` said, as it is to be made again.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        let mut saved: Self = serde_json::from_slice(bytes)?;
        if let Some(labels) = &mut saved.labels {
            labels.retain(|label, _| !labels::PASSING.contains(&label.as_str()));
        }
        Ok(saved)
    }
}

#[derive(Clone, Debug)]
pub struct NewVolume {
    pub name: String,
    pub saved: SavedVolume,
}

/// Reads the record of `point`, which is one of those that `manifests` make, and makes a directory below `runtime` for the rest.
pub async fn fetch(
    kopia: &Kopia,
    point: &Point,
    manifests: &[Manifest],
    runtime: &Path,
) -> Result<Recipe> {
    let (record, content) = match point.made_by {
        Tool::KopiDocka => {
            let (read, documents) = tokio::join!(read(kopia, point), documents(kopia, point));
            let (root, record) = read?;
            let documents = documents?;
            (record, Content::Ours { root, documents })
        }
        Tool::Python => {
            let translation = legacy::translate(kopia, point, manifests).await?;
            let record = translation.record.clone();
            (record, Content::Translated(Box::new(translation)))
        }
    };
    learn(&record);
    let folder = work::make(runtime)?;
    Ok(Recipe {
        record,
        content,
        folder,
        files: BTreeMap::new(),
    })
}

/// Everything that the recipe of `point` has of Docker, where it has it in one file that can be read.
async fn documents(kopia: &Kopia, point: &Point) -> Result<Option<Documents>> {
    let Some(root) = &point.recipe else {
        return Ok(None);
    };
    let bytes = kopia.read_file(root, &dump_name(DOCUMENTS)).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// How its volumes without a name are told.
fn learn(record: &PointRecord) {
    let services = record.project.iter().flat_map(|project| &project.services);
    for container in services.flat_map(|service| &service.containers) {
        for mount in &container.mounts {
            if let Some(SourceKey::Volume { name }) = &mount.source {
                unnamed::learn(name, &container.name, &mount.destination);
            }
        }
    }
}

/// The record of `point`, which is one of those that `manifests` make, whichever tool made it.
pub async fn record(kopia: &Kopia, point: &Point, manifests: &[Manifest]) -> Result<PointRecord> {
    Ok(match point.made_by {
        Tool::KopiDocka => read(kopia, point).await?.1,
        Tool::Python => legacy::translate(kopia, point, manifests).await?.record,
    })
}

/// The record of a `point` of ours and the root of its recipe, read and checked; writes nothing.
pub async fn read(kopia: &Kopia, point: &Point) -> Result<(ObjectId, PointRecord)> {
    let root = point
        .recipe
        .clone()
        .with_context(|| format!("the recipe of {} has no content", point.backup_id))?;
    let bytes = kopia.read_file(&root, RECORD_FILE).await?;
    let record =
        parse(&bytes.with_context(|| {
            format!("the recipe of {} lacks `{RECORD_FILE}`", point.backup_id)
        })?)?;
    if record.unit != point.unit || record.backup_id != point.backup_id {
        return Err(unreadable(format!(
            "the recipe that is filed under {} of `{}` is that of {} of `{}`",
            point.backup_id, point.unit, record.backup_id, record.unit
        ))
        .into());
    }
    Ok((root, record))
}

pub fn parse(bytes: &[u8]) -> Result<PointRecord> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| unreadable("the recipe is damaged".to_owned()).caused_by(error))?;
    if !(FORMAT_OF_WHOLE..=FORMAT).contains(&head.format) {
        return Err(unreadable(format!(
            "the recipe has format {}, this version knows the formats up to {FORMAT}",
            head.format
        ))
        .hint("use the version of kopi-docka that made it, or a newer one")
        .into());
    }
    let record = serde_json::from_slice(bytes)
        .map_err(|error| unreadable("the recipe is damaged".to_owned()).caused_by(error))?;
    Ok(record)
}

fn unreadable(what: String) -> Failure {
    Failure::new(Exit::UnitsFailed, what)
}

impl Recipe {
    /// Fills in what is done before each part of `sources`, which are as the record has them.
    pub async fn read_lists(&self, kopia: &Kopia, sources: &mut [SourceRecord]) -> Result<()> {
        match &self.content {
            Content::Ours { root, .. } => lists::read(kopia, root, &self.record, sources).await,
            Content::Translated(_) => Ok(()),
        }
    }

    /// The bytes of `path` in the recipe, such as `docker/images.json`; `None` when it has none.
    pub async fn read(&self, kopia: &Kopia, path: &str) -> Result<Option<Vec<u8>>> {
        let documents = match &self.content {
            Content::Ours { root, documents } => match documents {
                Some(documents) if path.starts_with("docker/") => documents,
                _ => return kopia.read_file(root, path).await,
            },
            Content::Translated(old) => &old.documents,
        };
        Ok(documents.get(path).map(serde_json::to_vec).transpose()?)
    }

    /// What it has of the engine's side of the unit.
    pub async fn saved(&self, kopia: &Kopia) -> Result<Saved> {
        match &self.content {
            Content::Ours { root, documents } => Saved::read(kopia, root, documents.as_ref()).await,
            Content::Translated(old) => Ok(Saved::of_documents(&old.documents)),
        }
    }

    /// The images that its containers ran, by container; none where that is damaged.
    pub async fn images(&self, kopia: &Kopia) -> Result<BTreeMap<String, SavedImage>> {
        let bytes = self.read(kopia, "docker/images.json").await?;
        let images = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(images.unwrap_or_default())
    }

    /// What it lacks beside data, one sentence each.
    pub fn lacks(&self) -> &[String] {
        match &self.content {
            Content::Ours { .. } => &[],
            Content::Translated(old) => &old.lacks,
        }
    }

    /// What has to be said of `sources` that is no fault of the point's: how the tool that made it works.
    pub fn notes(&self, sources: &[SourceRecord]) -> Vec<String> {
        match &self.content {
            Content::Ours { .. } => Vec::new(),
            Content::Translated(old) => old.notes(sources),
        }
    }

    /// What `docker volume inspect` said of the volume when it was saved.
    pub async fn volume(&self, kopia: &Kopia, name: &str) -> Result<Option<SavedVolume>> {
        let path = format!("docker/volumes/{}", dump_name(name));
        let Some(bytes) = self.read(kopia, &path).await? else {
            return Ok(None);
        };
        let saved = SavedVolume::parse(&bytes)
            .with_context(|| format!("the recipe's description of volume `{name}` is damaged"))?;
        Ok(Some(saved))
    }

    /// Brings the copies of all files that the record names into our directory, with their modes, owners and times.
    pub async fn bring_files(&mut self, kopia: &Kopia) -> Result<()> {
        let paths = self.record.files.iter().map(|file| file.path.clone());
        let this = &*self;
        let folders = this.folders(kopia).await?;
        let folders = &folders;
        let files: Vec<_> = stream::iter(paths.enumerate())
            .map(|(number, path)| async move {
                let copy = this.folder.path().join(number.to_string());
                let brought = this.bring_file(kopia, folders, &path, &copy).await?;
                Ok::<_, anyhow::Error>((path, brought.map(|()| copy)))
            })
            .buffered(PROCESSES)
            .try_collect()
            .await?;
        self.files = files.into_iter().collect();
        Ok(())
    }

    /// What is in the directories that its files are in, by their paths in the recipe. Most files share one.
    async fn folders(&self, kopia: &Kopia) -> Result<BTreeMap<String, Vec<Entry>>> {
        let Content::Ours { root, .. } = &self.content else {
            return Ok(BTreeMap::new());
        };
        let files = self.record.files.iter();
        let folders: BTreeSet<String> = files
            .filter_map(|file| file.path.parent().map(folder_in_recipe))
            .collect();
        stream::iter(folders)
            .map(|folder| async move {
                let entries = kopia.read_folder(root, &folder).await?;
                Ok((folder, entries.unwrap_or_default()))
            })
            .buffered(PROCESSES)
            .try_collect()
            .await
    }

    async fn bring_file(
        &self,
        kopia: &Kopia,
        folders: &BTreeMap<String, Vec<Entry>>,
        path: &Path,
        copy: &Path,
    ) -> Result<Result<(), String>> {
        let root = match &self.content {
            Content::Ours { root, .. } => root,
            Content::Translated(old) => {
                let Some(entry) = old.files.get(path) else {
                    return Ok(Err("the point does not have it".to_owned()));
                };
                let bytes = kopia.read_object(&entry.obj).await?;
                return keep_copy(path, copy, &bytes, entry);
            }
        };
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Err("it is not a file".to_owned()));
        };
        let folder = folder_in_recipe(folder);
        let mut entries = folders.get(&folder).into_iter().flatten();
        let entry = entries.find(|entry| entry.name.as_str() == name);
        let Some(entry) = entry else {
            return Ok(Err("the point names it, but does not have it".to_owned()));
        };
        if !entry.is_file() {
            return Ok(Err("in the point it is not a regular file".to_owned()));
        }
        let place = format!("{folder}/{}", entry.name);
        let Some(bytes) = kopia.read_file(root, &place).await? else {
            return Ok(Err("the point names it, but does not have it".to_owned()));
        };
        keep_copy(path, copy, &bytes, entry)
    }

    /// Adds a file that was not saved but made, as the last compose file of the project.
    pub fn add_compose_file(&mut self, path: PathBuf, bytes: &[u8]) -> Result<()> {
        let copy = self.folder.path().join("overlay");
        std::fs::write(&copy, bytes).context("a work file cannot be written")?;
        if let Some(project) = &mut self.record.project {
            project.compose_files.push(path.clone());
        }
        self.record.files.push(FileRecord {
            path: path.clone(),
            role: FileRole::Compose,
            attributes: None,
            link: None,
        });
        self.files.insert(path, Ok(copy));
        Ok(())
    }

    /// Whether [`Recipe::bring_files`] brought any.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The saved copy of the file that was at `path`, absolute; an error says why there is none.
    pub fn file(&self, path: &Path) -> Result<&Path> {
        match self.files.get(path) {
            Some(Ok(copy)) => Ok(copy),
            Some(Err(why)) => Err(anyhow::anyhow!("{why}")),
            None => Err(anyhow::anyhow!("the point does not have it")),
        }
    }
}

/// Where a recipe has the files of a directory.
fn folder_in_recipe(folder: &Path) -> String {
    let whole = format!("files{}", folder.display());
    whole.trim_end_matches('/').to_owned()
}

fn keep_copy(path: &Path, copy: &Path, bytes: &[u8], entry: &Entry) -> Result<Result<(), String>> {
    if bytes.len() as u64 != entry.size {
        return Ok(Err("it could not be read whole".to_owned()));
    }
    recipe_tree::write(copy, bytes, entry)
        .with_context(|| format!("the copy of `{}` cannot be written", path.display()))?;
    Ok(Ok(()))
}

#[cfg(test)]
pub mod tests {
    use crate::base::testing::{damaged_text, odd};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::error::render;

    pub fn record() -> Value {
        json!({
            "format": 1, "kopi_docka_version": "0.1.0", "backup_id": "2026-01-02T03-04-05Z", "unit": "web",
            "kind": "stack", "identity": "kopi-docka@h", "started_at": "2026-01-02T03:04:05Z", "grade": "ok",
            "sources": [{
                "type": "volume", "name": "web_db", "read_from": "/var/lib/docker/volumes/web_db/_data", "is_file": false,
                "destinations": ["/db"], "exclude_patterns": [], "grade": "ok", "reasons": [],
                "parts": [{"kind": "full", "snapshot": "ab", "root": "k1", "file": "data", "bytes": 10240, "delete": []}]
            }],
            "missing": [], "gaps": [], "downtime_seconds": 1.0, "project": null, "files": []
        })
    }

    #[test]
    fn only_a_format_that_is_known_is_read() {
        assert!(parse(record().to_string().as_bytes()).is_ok());
        let mut newer = record();
        newer["format"] = json!(FORMAT + 1);
        // A newer format may look quite different.
        newer["sources"] = json!({});
        let text = render(&parse(newer.to_string().as_bytes()).unwrap_err());
        assert!(text.contains("format 3"), "{text}");
        for damaged in ["", "{", "[]", "{\"format\": 1}", "{\"format\": \"1\"}"] {
            let error = parse(damaged.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{damaged}: {error}");
        }
        let mut hostile = record();
        hostile["sources"][0]["parts"][0]["root"] = json!("--help");
        assert!(parse(hostile.to_string().as_bytes()).is_err());
    }

    #[test]
    fn volumes_are_read_as_docker_describes_them() {
        let described = json!({
            "Name": "v", "Driver": "local", "Mountpoint": "/x", "Options": null, "Scope": "local",
            "Labels": {
                "a": "b", "com.docker.compose.volume": "v",
                "com.docker.compose.config-hash": "f00", "com.docker.compose.version": "2.40.3",
            },
        });
        let saved = SavedVolume::parse(described.to_string().as_bytes()).unwrap();
        assert_eq!(saved.driver, "local");
        assert_eq!(saved.options, None);
        let labels = saved.labels.unwrap();
        let kept: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(kept, ["a", "com.docker.compose.volume"]);
    }

    proptest! {
        /// Who can write into the repository can write anything into a recipe.
        #[test]
        fn no_record_breaks_it_and_what_is_read_has_the_known_format(value in odd(record())) {
            if let Ok(record) = parse(value.to_string().as_bytes()) {
                prop_assert!([1, 2].contains(&record.format));
                prop_assert!(!record.unit.as_str().contains('/'));
                for part in record.sources.iter().flat_map(|source| &source.parts) {
                    prop_assert!(part.root.as_str().bytes().all(|b| b.is_ascii_alphanumeric()));
                }
            }
        }

        #[test]
        fn no_damage_breaks_it(text in damaged_text(r#"{"format": 1, "unit": "web", "sources": [{"type": "volume"}]}"#)) {
            let _ = parse(text.as_bytes());
            let _ = SavedVolume::parse(text.as_bytes());
        }
    }
}
