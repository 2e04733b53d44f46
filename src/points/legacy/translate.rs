//! From the snapshots of an old point to the record and the documents that a recipe of ours would have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use super::dumps::Dumps;
use super::files::{self, Coverage, Placed, Stored};
use super::judge;
use super::members::Members;
use super::notes;
use crate::base::text::printable;
use crate::discovery::system_paths::{Ownership, ownership};
use crate::drivers::kopia::{Entry, Kopia, Manifest, PROCESSES};
use crate::error::Result;
use crate::model::point::{
    FORMAT_OF_WHOLE, MissingSource, Part, PartKind, PointRecord, SourceRecord,
};
use crate::model::source::{Gap, GapReason};
use crate::model::{Grade, ObjectId, SnapshotId, SourceKey, UnitKind};
use crate::points::point::Point;

/// The file of a version that had one compose file and no list of them.
const ONLY_COMPOSE_FILE: &str = "docker-compose.yml";

#[derive(Debug)]
pub struct Translation {
    pub record: PointRecord,
    /// What keeps it from being restored as a whole, beside missing sources.
    pub lacks: Vec<String>,
    pub notes: Vec<String>,
    /// As a recipe of ours has them, by path.
    pub documents: BTreeMap<String, Value>,
    /// What the point has for each path.
    pub files: BTreeMap<PathBuf, Entry>,
}

impl Translation {
    /// What is said of `sources` before they are restored.
    pub fn notes(&self, sources: &[SourceRecord]) -> Vec<String> {
        let mut notes = notes::of_sources(sources);
        notes.extend(self.notes.iter().cloned());
        notes
    }
}

/// What is in an old recipe.
#[derive(Debug, Default)]
struct Old {
    stored: Stored,
    dumps: Dumps,
    coverage: Option<Coverage>,
    networks: Vec<Value>,
    damaged: Vec<String>,
}

/// Reads what `point` has beside its data. `manifests` are all that the repository lists.
pub async fn translate(
    kopia: &Kopia,
    point: &Point,
    manifests: &[Manifest],
) -> Result<Translation> {
    let own: BTreeSet<&str> = point.snapshots.iter().map(String::as_str).collect();
    let group: Vec<&Manifest> = manifests
        .iter()
        .filter(|manifest| own.contains(manifest.id.as_str()))
        .collect();
    let members = Members::of(&group);
    let old = Old::read(kopia, &members).await?;
    Ok(assemble(point, &members, old))
}

impl Old {
    async fn read(kopia: &Kopia, members: &Members<'_>) -> Result<Self> {
        let mut old = Self::default();
        if let Some(manifest) = members.recipe() {
            old.read_recipe(kopia, folder(kopia, manifest).await?)
                .await?;
        }
        if let Some(Some(manifest)) = members.networks {
            let entries = folder(kopia, manifest).await?;
            if let Some(entry) = entries.iter().find(|entry| entry.name == "networks.json") {
                let bytes = kopia.read_object(&entry.obj).await?;
                old.networks = old.parse("networks.json", &bytes).unwrap_or_default();
            }
        }
        Ok(old)
    }

    async fn read_recipe(&mut self, kopia: &Kopia, entries: Vec<Entry>) -> Result<()> {
        let is_told = |name: &str| {
            name.ends_with("_inspect.json")
                || matches!(name, "compose_order.json" | "coverage-manifest.json")
        };
        if let Some(folder) = entries
            .iter()
            .find(|entry| entry.is_folder() && entry.name == "project-files")
        {
            let beside = kopia
                .read_folders(std::slice::from_ref(&folder.obj))
                .await?;
            self.stored.beside = beside.into_iter().flatten().filter(is_plain).collect();
        }
        let files: Vec<Entry> = entries.into_iter().filter(is_plain).collect();
        let (told, stored): (Vec<Entry>, Vec<Entry>) =
            files.into_iter().partition(|entry| is_told(&entry.name));
        let told: Vec<(String, Vec<u8>)> = stream::iter(told)
            .map(|entry| async move {
                let bytes = kopia.read_object(&entry.obj).await?;
                Ok::<_, anyhow::Error>((entry.name, bytes))
            })
            .buffered(PROCESSES)
            .try_collect()
            .await?;
        let mut order = None;
        for (name, bytes) in told {
            match name.as_str() {
                "compose_order.json" => order = self.parse::<Vec<String>>(&name, &bytes),
                "coverage-manifest.json" => self.coverage = self.parse(&name, &bytes),
                _ if self.dumps.add(&bytes) => {}
                _ => self.damaged.push(printable(&name)),
            }
        }
        let order = order.unwrap_or_else(|| vec![ONLY_COMPOSE_FILE.to_owned()]);
        let named = |name: &String| stored.iter().find(|entry| entry.name == *name).cloned();
        self.stored.compose = order.iter().filter_map(named).collect();
        Ok(())
    }

    fn parse<T: serde::de::DeserializeOwned>(&mut self, name: &str, bytes: &[u8]) -> Option<T> {
        let parsed = serde_json::from_slice(bytes).ok();
        if parsed.is_none() {
            self.damaged.push(name.to_owned());
        }
        parsed
    }
}

async fn folder(kopia: &Kopia, manifest: &Manifest) -> Result<Vec<Entry>> {
    let Some(root) = manifest.root_entry.as_ref().filter(|root| root.is_folder()) else {
        return Ok(Vec::new());
    };
    let mut folders = kopia.read_folders(&[ObjectId::parse(&root.obj)?]).await?;
    Ok(folders.pop().unwrap_or_default())
}

fn is_plain(entry: &Entry) -> bool {
    entry.is_file()
        && !matches!(entry.name.as_str(), "" | "." | "..")
        && !entry.name.contains(['/', '\0'])
}

fn assemble(point: &Point, members: &Members, old: Old) -> Translation {
    let coverage = old.coverage.unwrap_or_default();
    let Placed {
        project,
        records,
        entries,
        mut gaps,
    } = files::place(&old.stored, &old.dumps, &coverage);
    let mut missing = Vec::new();
    let mut sources = Vec::new();
    for (key, manifest) in &members.sources {
        match manifest.and_then(|manifest| source(key, manifest, &old.dumps)) {
            Some(source) => sources.push(source),
            None => missing.push(MissingSource {
                key: key.clone(),
                reason: "its snapshot is not complete".to_owned(),
            }),
        }
    }
    look_for_others(members, &old.dumps, &coverage, &mut missing, &mut gaps);
    let mut documents = old.dumps.documents();
    let mut lost_networks = old.dumps.networks();
    for network in old.networks {
        if let Some(name) = network.get("Name").and_then(Value::as_str) {
            lost_networks.remove(name);
            let file = name.replace(|c: char| c == '/' || c.is_control(), "_");
            documents.insert(format!("docker/networks/{file}.json"), network);
        }
    }
    // Compose makes those of its project again.
    let own_prefix = old.dumps.project().map(|project| format!("{project}_"));
    lost_networks.retain(|name| own_prefix.as_ref().is_none_or(|own| !name.starts_with(own)));
    gaps.extend(lost_networks.into_iter().map(|name| Gap {
        what: format!("network `{}`", printable(name)),
        reason: GapReason::Missing,
        detail: "the Python tool did not save it".to_owned(),
        is_loss: true,
    }));
    gaps.extend(old.damaged.iter().map(|name| Gap {
        what: format!("`{name}` of its recipe"),
        reason: GapReason::Recipe,
        detail: "it is damaged".to_owned(),
        is_loss: true,
    }));
    let has_compose = project
        .as_ref()
        .is_some_and(|project| !project.compose_files.is_empty());
    Translation {
        lacks: judge::of_recipe(members),
        notes: notes::of_rest(members, &old.dumps, !has_compose),
        documents,
        files: entries,
        record: PointRecord {
            format: FORMAT_OF_WHOLE,
            kopi_docka_version: "of the Python tool".to_owned(),
            backup_id: point.backup_id.clone(),
            unit: point.unit.clone(),
            kind: if project.is_some() || members.recipe().is_none() {
                UnitKind::Stack
            } else {
                UnitKind::Standalone
            },
            identity: point.identity.clone(),
            started_at: point.time,
            grade: Grade::Unproven,
            sources,
            missing,
            gaps,
            downtime_seconds: 0.0,
            project,
            files: records,
            agreed: Vec::new(),
            holds: Vec::new(),
            former: Vec::new(),
            ids: None,
        },
    }
}

fn source(key: &SourceKey, manifest: &Manifest, dumps: &Dumps) -> Option<SourceRecord> {
    let root = manifest.root_entry.as_ref()?;
    let attributes = root.attributes()?;
    let is_tar = matches!(key, SourceKey::Volume { .. })
        // Before version 5 there was no other format and no tag.
        && manifest.tag("backup_format") != Some("direct");
    let kind = match (is_tar, root.is_folder(), root.is_file()) {
        (true, true, _) => PartKind::OnlyFile,
        (false, true, _) => PartKind::Tree(attributes),
        (false, _, true) => PartKind::File(attributes),
        _ => return None,
    };
    let name = match key {
        SourceKey::Volume { name } => name.clone(),
        SourceKey::Bind { path } => path.display().to_string(),
    };
    let destinations: BTreeSet<String> = dumps
        .mounts()
        .filter(|mount| mount.source == name)
        .map(|mount| mount.destination.to_owned())
        .chain(manifest.tag("bind_destination").map(str::to_owned))
        .collect();
    Some(SourceRecord {
        key: key.clone(),
        read_from: PathBuf::from(&manifest.source.path),
        is_file: matches!(kind, PartKind::File(_)),
        destinations: destinations.into_iter().collect(),
        exclude_patterns: Vec::new(),
        grade: Grade::Unproven,
        reasons: Vec::new(),
        parts: vec![Part::only(
            kind,
            SnapshotId::parse(&manifest.id).ok()?,
            ObjectId::parse(&root.obj).ok()?,
            String::new(),
            root.summ.size,
        )],
        files: None,
        bytes: None,
        file_system: None,
        covers: None,
        is_included: false,
        directories: Vec::new(),
    })
}

/// Data that the containers had mounted, or that the old tool meant to save, and that the point does not have.
fn look_for_others(
    members: &Members,
    dumps: &Dumps,
    coverage: &Coverage,
    missing: &mut Vec<MissingSource>,
    gaps: &mut Vec<Gap>,
) {
    let key = |kind: &str, name: &str| match kind {
        "volume" => Some(SourceKey::Volume {
            name: name.to_owned(),
        }),
        "bind" => Some(SourceKey::Bind {
            path: PathBuf::from(name),
        }),
        _ => None,
    };
    let mut seen: BTreeSet<SourceKey> = members.sources.keys().cloned().collect();
    for one in &coverage.dependencies {
        match key(&one.kind, &one.identifier) {
            Some(key) if one.is_saved() => {
                if seen.insert(key.clone()) {
                    let reason = "it was to be saved, but the point has no snapshot of it";
                    missing.push(MissingSource {
                        key,
                        reason: reason.to_owned(),
                    });
                }
                continue;
            }
            Some(key) => {
                seen.insert(key);
            }
            None => {}
        }
        if one.is_lost() {
            gaps.push(Gap {
                what: printable(&format!(
                    "{} `{}`",
                    one.kind.replace('_', " "),
                    one.identifier
                )),
                reason: GapReason::NotCoverable,
                detail: printable(&one.detail),
                is_loss: true,
            });
        }
    }
    for mount in dumps.mounts() {
        let Some(key) = key(mount.kind, mount.source).filter(|_| !mount.source.is_empty()) else {
            continue;
        };
        if !seen.insert(key.clone()) {
            continue;
        }
        match &key {
            SourceKey::Volume { .. } => missing.push(MissingSource {
                key,
                reason: "a container had it mounted, but the point has no snapshot of it"
                    .to_owned(),
            }),
            // Versions before 7.7 saved no binds at all, later ones none that they took for the system's.
            SourceKey::Bind { path } if ownership(path, false) == Ownership::Operator => {
                gaps.push(Gap {
                    what: printable(&key.to_string()),
                    reason: GapReason::NotCoverable,
                    detail: "the Python tool did not save it".to_owned(),
                    is_loss: true,
                })
            }
            SourceKey::Bind { .. } => {}
        }
    }
}
