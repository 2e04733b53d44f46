//! The recipe of a point, brought back into a folder that only we can see.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use super::points::Point;
use super::request::{Request, handle};
use crate::backup::WORK_PREFIX;
use crate::error::{Exit, Failure, Result};
use crate::kopia::Kopia;
use crate::model::point::{FORMAT, PointRecord, RECORD_FILE, SourceRecord};

#[derive(Debug)]
pub struct Recipe {
    pub record: PointRecord,
    /// Holds secrets: removed with this value; one that a killed run left is removed by the next.
    folder: tempfile::TempDir,
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

/// Brings the recipe of `point` into a folder below `runtime`.
pub async fn fetch(
    kopia: &Kopia,
    point: &Point,
    runtime: &Path,
    deadline: Duration,
) -> Result<Recipe> {
    let root = point
        .recipe
        .as_ref()
        .with_context(|| format!("the recipe of {} has no content", point.backup_id))?;
    // The record first, by its own: it says whether this version knows the rest.
    let record = parse(&kopia.read_file(root, RECORD_FILE).await?)?;
    if record.unit != point.unit || record.backup_id != point.backup_id {
        return Err(unreadable(format!(
            "the recipe that is filed under {} of `{}` is that of {} of `{}`",
            point.backup_id, point.unit, record.backup_id, record.unit
        ))
        .into());
    }
    crate::lock::make_private_folder(runtime)?;
    let folder = tempfile::Builder::new()
        .prefix(WORK_PREFIX)
        .tempdir_in(runtime)
        .with_context(|| format!("no work folder can be made in `{}`", runtime.display()))?;
    kopia
        .restore_folder(root, folder.path(), deadline)
        .await
        .context("the recipe can't be brought back")?;
    Ok(Recipe { record, folder })
}

fn parse(bytes: &[u8]) -> Result<PointRecord> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| unreadable("the recipe is damaged".to_owned()).caused_by(error))?;
    if head.format != FORMAT {
        return Err(unreadable(format!(
            "the recipe has format {}, this version knows format {FORMAT}",
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
    /// What `docker volume inspect` said of the volume when it was saved.
    pub fn volume(&self, name: &str) -> Result<Option<SavedVolume>> {
        let Some(path) = self.inside(Path::new("docker/volumes"), &format!("{name}.json"))? else {
            return Ok(None);
        };
        let bytes =
            std::fs::read(&path).with_context(|| format!("`{}` can't be read", path.display()))?;
        let saved = serde_json::from_slice(&bytes)
            .with_context(|| format!("the recipe's description of volume `{name}` is damaged"))?;
        Ok(Some(saved))
    }

    /// The saved copy of the file that was at `path`, absolute.
    pub fn file(&self, path: &Path) -> Result<Option<PathBuf>> {
        let below: PathBuf = path
            .components()
            .filter(|component| matches!(component, Component::Normal(_)))
            .collect();
        self.inside(Path::new("files"), &below.to_string_lossy())
    }

    /// A regular file in the recipe; nothing that a link leads to.
    fn inside(&self, folder: &Path, name: &str) -> Result<Option<PathBuf>> {
        let root = self.folder.path().canonicalize()?;
        let path = root.join(folder).join(name);
        match path.canonicalize() {
            Ok(real) if real == path && real.is_file() => Ok(Some(real)),
            Ok(_) => Err(unreadable(format!("`{name}` in the recipe is not a plain file")).into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("`{}` can't be read", path.display())),
        }
    }
}

/// The sources that `request` means. `complete` are the root objects that the repository has whole.
pub fn select(
    record: &PointRecord,
    request: &Request,
    complete: &HashSet<&str>,
) -> Result<Vec<SourceRecord>> {
    let is_there = |source: &SourceRecord| {
        source
            .parts
            .iter()
            .all(|part| complete.contains(part.root.as_str()))
    };
    if request.is_whole_unit() {
        let lost = record.sources.iter().filter(|source| !is_there(source));
        let lacks: Vec<String> = record
            .missing
            .iter()
            .map(|missing| format!("{}: {}", missing.key, missing.reason))
            .chain(lost.map(|source| format!("{}: its snapshot is gone", source.key)))
            .collect();
        if lacks.is_empty() {
            return Ok(record.sources.clone());
        }
        let has = record.sources.iter().filter(|source| is_there(source));
        return Err(not_whole(
            record,
            request,
            &lacks,
            has.map(|source| handle(&source.key)),
        )
        .into());
    }
    request
        .only
        .iter()
        .map(|name| {
            let source = record
                .sources
                .iter()
                .find(|source| handle(&source.key) == *name)
                .ok_or_else(|| not_in_it(record, name))?;
            if is_there(source) {
                return Ok(source.clone());
            }
            Err(Failure::new(
                Exit::UnitsFailed,
                format!(
                    "{} of {}: its snapshot is gone from the repository",
                    source.key, record.backup_id
                ),
            )
            .into())
        })
        .collect()
}

fn not_whole(
    record: &PointRecord,
    request: &Request,
    lacks: &[String],
    has: impl Iterator<Item = String>,
) -> Failure {
    let mut failure = Failure::new(
        Exit::UnitsFailed,
        format!(
            "restore point {} of unit `{}` is not whole, so it is not restored as a whole",
            record.backup_id, record.unit
        ),
    );
    for lack in lacks {
        failure = failure.note(format!("it lacks {lack}"));
    }
    let has: Vec<String> = has.collect();
    if has.is_empty() {
        failure.hint("it has no data that could be restored: take another point")
    } else {
        failure.hint(format!(
            "what it has is restored by `{}`",
            request.command(record.backup_id, &has)
        ))
    }
}

fn not_in_it(record: &PointRecord, name: &str) -> Failure {
    let missing = record
        .missing
        .iter()
        .find(|missing| handle(&missing.key) == name);
    let failure = Failure::new(
        Exit::NothingMatched,
        match missing {
            Some(missing) => format!(
                "{} is not in restore point {}: {}",
                missing.key, record.backup_id, missing.reason
            ),
            None => format!(
                "restore point {} has no volume or bind mount `{name}`",
                record.backup_id
            ),
        },
    );
    let names: Vec<String> = record
        .sources
        .iter()
        .map(|source| format!("`{}`", handle(&source.key)))
        .collect();
    if names.is_empty() {
        failure.hint("it has none at all")
    } else {
        failure.hint(format!("it has {}", names.join(", ")))
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::{exit_of, render};
    use crate::model::{BackupId, UnitName};
    use crate::restore::request::Which;

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

    fn request(only: &[&str]) -> Request {
        Request {
            unit: UnitName::parse("web").unwrap(),
            which: Which::Id(BackupId::parse("2026-01-02T03-04-05Z").unwrap()),
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            host: None,
        }
    }

    #[test]
    fn only_a_format_that_is_known_is_read() {
        assert!(parse(record().to_string().as_bytes()).is_ok());
        let mut newer = record();
        newer["format"] = json!(2);
        // A newer format may look quite different.
        newer["sources"] = json!({});
        let text = render(&parse(newer.to_string().as_bytes()).unwrap_err());
        assert!(text.contains("format 2"), "{text}");
        for damaged in ["", "{", "[]", "{\"format\": 1}", "{\"format\": \"1\"}"] {
            let error = parse(damaged.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{damaged}: {error}");
        }
        let mut hostile = record();
        hostile["sources"][0]["parts"][0]["root"] = json!("--help");
        assert!(parse(hostile.to_string().as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_whole_says_what_it_lacks_and_how_to_get_the_rest() {
        let mut partial = record();
        partial["missing"] =
            json!([{"type": "volume", "name": "web_files", "reason": "disk error"}]);
        let partial = parse(partial.to_string().as_bytes()).unwrap();
        let complete = HashSet::from(["k1"]);
        let error = select(&partial, &request(&[]), &complete).unwrap_err();
        let text = render(&error);
        assert!(
            text.contains("it lacks volume `web_files`: disk error"),
            "{text}"
        );
        assert!(
            text.contains(
                "`kopi-docka restore --unit web --backup-id 2026-01-02T03-04-05Z --volume web_db`"
            ),
            "{text}"
        );
        assert_eq!(
            select(&partial, &request(&["web_db"]), &complete)
                .unwrap()
                .len(),
            1
        );
        let error = select(&partial, &request(&["web_files"]), &complete).unwrap_err();
        assert_eq!(exit_of(&error), Exit::NothingMatched);
        assert!(render(&error).contains("disk error"), "{error}");

        let whole = parse(record().to_string().as_bytes()).unwrap();
        let nothing = HashSet::new();
        let text = render(&select(&whole, &request(&[]), &nothing).unwrap_err());
        assert!(text.contains("its snapshot is gone"), "{text}");
        assert!(select(&whole, &request(&["web_db"]), &nothing).is_err());
    }

    #[test]
    fn a_link_in_the_recipe_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("files/srv")).unwrap();
        std::fs::write(folder.path().join("files/srv/compose.yaml"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("files/srv/link")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("files/etc")).unwrap();
        let recipe = Recipe {
            record: parse(record().to_string().as_bytes()).unwrap(),
            folder,
        };
        assert!(
            recipe
                .file(Path::new("/srv/compose.yaml"))
                .unwrap()
                .is_some()
        );
        assert!(recipe.file(Path::new("/srv/other")).unwrap().is_none());
        assert!(recipe.file(Path::new("/srv/link")).is_err());
        assert!(recipe.file(Path::new("/etc/passwd")).is_err());
        assert!(recipe.volume("../../../etc/x").unwrap().is_none());
    }

    #[test]
    fn volumes_are_read_as_docker_describes_them() {
        let saved: SavedVolume = serde_json::from_value(json!({
            "Name": "v", "Driver": "local", "Mountpoint": "/x", "Options": null, "Labels": {"a": "b"}, "Scope": "local"
        }))
        .unwrap();
        assert_eq!(saved.driver, "local");
        assert_eq!(saved.options, None);
        assert_eq!(saved.labels.unwrap()["a"], "b");
    }
}
