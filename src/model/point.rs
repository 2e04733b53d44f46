//! A restore point as it is written into the repository: `recipe.json`, the commit record.
//!
//! Fields are only ever added. A reader refuses a `format` that it does not know.

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::grade::Grade;
use super::ids::{ObjectId, PointId, SnapshotId, UnitName};
use super::source::{Gap, SourceKey};
use super::unit::{ContainerState, UnitKind};
use crate::error::Result;
use crate::model::Identity;

/// The newest format of [`PointRecord`] that this program reads and writes: some source has several parts.
pub const FORMAT: u32 = 2;

/// The format of a record in which each source is one part, [`PartKind::Full`]. Older versions read it.
pub const FORMAT_OF_WHOLE: u32 = 1;

/// What a record of `sources` is written in: the oldest format that can say it.
pub fn format_of(sources: &[SourceRecord]) -> u32 {
    let is_whole =
        |source: &SourceRecord| matches!(&*source.parts, [part] if part.kind == PartKind::Full);
    if sources.iter().all(is_whole) {
        FORMAT_OF_WHOLE
    } else {
        FORMAT
    }
}

/// In the place of a secret, which is in a file of its own.
pub const REDACTED: &str = "***REDACTED***";

/// The name of the record inside the recipe's snapshot.
pub const RECORD_FILE: &str = "recipe.json";

/// The file of a recipe in which everything below its `docker/` is together, by path; see [`dump_name`].
pub const DOCUMENTS: &str = "documents";

/// The longest name of a file that every file system takes, less an ending.
const LONGEST_NAME: usize = 240;

/// The file below `docker/` in which a recipe has what Docker says of `name`. Names of networks are free text, and may be long.
pub fn dump_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c == '/' || c.is_control() { '_' } else { c })
        .collect();
    if plain == name && plain.len() <= LONGEST_NAME && !matches!(name, "" | "." | "..") {
        return format!("{plain}.json");
    }
    let hash = Sha256::digest(name.as_bytes());
    let hash: String = hash
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut short = plain;
    while short.len() > LONGEST_NAME - 40 {
        short.pop();
    }
    format!("{short}-{hash}.json")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PointRecord {
    pub format: u32,
    pub kopi_docka_version: String,
    pub backup_id: PointId,
    pub unit: UnitName,
    pub kind: UnitKind,
    /// The Kopia identity it was saved under, `kopi-docka@host`.
    pub identity: Identity,
    pub started_at: DateTime<Utc>,
    pub grade: Grade,
    pub sources: Vec<SourceRecord>,
    /// Sources of the unit that could not be saved in this run, with the reason.
    pub missing: Vec<MissingSource>,
    /// What was never meant to be saved.
    pub gaps: Vec<Gap>,
    /// Seconds from the first stop to the last start.
    pub downtime_seconds: f64,
    pub project: Option<ProjectRecord>,
    /// Files saved beside this record, below `files/`, each at its own absolute path.
    pub files: Vec<FileRecord>,
    /// What is not in this point by the operator's agreement: also in `gaps`, there as no loss.
    #[serde(default)]
    pub agreed: Vec<Agreement>,
    /// Older points that retention keeps although its rules may not.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// What the unit no longer mounts, while an older point holds it.
    #[serde(default)]
    pub former: Vec<Former>,
    /// How the engine mapped ids. `None` in points of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<IdWorld>,
}

/// Which ids of the host stand for those that containers see. Data belongs to the former.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdWorld {
    pub is_rootless: bool,
    /// The first user and group id of the range of `userns-remap`, as `100000.100000`.
    #[serde(default)]
    pub remapped_to: Option<String>,
}

impl fmt::Display for IdWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.remapped_to, self.is_rootless) {
            (Some(range), _) => write!(f, "maps ids to the range from `{range}` (`userns-remap`)"),
            (None, true) => f.write_str("is rootless"),
            (None, false) => f.write_str("maps no ids"),
        }
    }
}

/// The operator agreed that `what`, by its name in a [`Gap`], is not saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    pub what: String,
    pub since: DateTime<Utc>,
}

/// A point that stays for a time: the next one has much less in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub point: PointId,
    pub until: DateTime<Utc>,
}

impl Hold {
    /// As a tag of the recipe's snapshot: a listing alone is enough for retention.
    pub fn tag(holds: &[Self]) -> String {
        let texts = holds
            .iter()
            .map(|hold| format!("{}={}", hold.point, hold.until.timestamp()));
        texts.collect::<Vec<_>>().join(",")
    }

    /// What [`Hold::tag`] wrote; what makes no sense is left out.
    pub fn parse(tag: &str) -> Vec<Self> {
        let parse = |text: &str| {
            let (point, until) = text.split_once('=')?;
            Some(Self {
                point: PointId::parse(point).ok()?,
                until: DateTime::from_timestamp(until.parse().ok()?, 0)?,
            })
        };
        tag.split(',').filter_map(parse).collect()
    }
}

/// A source that was in the unit's points until `last`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    #[serde(flatten)]
    pub key: SourceKey,
    pub last: PointId,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    #[serde(flatten)]
    pub key: SourceKey,
    /// Where it was read on the host that made it; links resolved.
    pub read_from: PathBuf,
    pub is_file: bool,
    pub destinations: Vec<String>,
    pub exclude_patterns: Vec<String>,
    pub grade: Grade,
    /// Why the grade is not `ok`, one sentence each.
    pub reasons: Vec<String>,
    /// Extracted one over the other, in this order.
    pub parts: Vec<Part>,
    /// Everything in it that is not a directory, counted before the stop; `None` where it could not be counted, and in old points.
    #[serde(default)]
    pub files: Option<u64>,
    /// What these hold, counted at the same time. Not the length of the stream.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Where it was; `None` where that could not be told, and in old points.
    #[serde(default)]
    pub file_system: Option<FileSystem>,
    /// What else of the unit lies in it and is in its stream: binds that are no sources of their own, and volumes that are. Nothing
    /// else that lies in it is. `None` in old points, which do not tell.
    #[serde(default)]
    pub covers: Option<Vec<SourceKey>>,
    /// The operator named it to be saved, by configuration or label.
    #[serde(default)]
    pub is_included: bool,
    /// The directories above a bind, outermost first; empty in old points.
    #[serde(default)]
    pub directories: Vec<DirectoryRecord>,
}

/// A place on a file system, in words that stay the same over a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// Such as `ext4` or `nfs4`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `UUID=…` where the disk has one, else what was mounted: `/dev/mapper/data`, `nas:/export`.
    pub id: String,
    /// The path within it, from its own root: a directory that a disk is mounted on is another place than the root of that disk.
    pub path: PathBuf,
}

/// One snapshot that a source's data is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    pub kind: PartKind,
    pub snapshot: SnapshotId,
    /// The root directory object; it names the snapshot even after Kopia gave it another id (pin, move-history).
    pub root: ObjectId,
    /// The name of the stream inside the root directory.
    pub file: String,
    /// Length of the tar stream; of all files where there is none.
    pub bytes: u64,
    /// Always empty; versions that know format 1 alone want it there.
    #[serde(default)]
    pub delete: [(); 0],
    /// What goes before this part is extracted, topmost paths only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<PathList>,
    /// Directories that lose all extended attributes before this part is extracted, which sets those that they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripped: Option<PathList>,
    /// Parts of one number may be extracted side by side, after the [`PartKind::Folders`] of that number: that is extracted before them
    /// without attributes, so that none is passed on to what is made in a directory, and after them as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<u32>,
    /// Of the point whose run stored it, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_id: Option<PointId>,
    /// Both lists, once they were read.
    #[serde(skip)]
    pub lists: Option<Arc<Lists>>,
}

/// What is done to what the parts before left. Paths in the source; the root of it is an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    pub deleted: Vec<PathBuf>,
    pub stripped: Vec<PathBuf>,
}

impl Part {
    /// The only part of its source.
    pub fn only(
        kind: PartKind,
        snapshot: SnapshotId,
        root: ObjectId,
        file: String,
        bytes: u64,
    ) -> Self {
        Self {
            kind,
            snapshot,
            root,
            file,
            bytes,
            delete: [],
            deleted: None,
            stripped: None,
            group: None,
            backup_id: None,
            lists: None,
        }
    }

    /// Both lists; an error while they were not read.
    pub fn lists(&self) -> Result<Arc<Lists>> {
        match &self.lists {
            Some(lists) => Ok(Arc::clone(lists)),
            None if self.deleted.is_none() && self.stripped.is_none() => Ok(Arc::default()),
            None => anyhow::bail!("the lists of a part were not read"),
        }
    }
}

/// Paths in a file of their own beside the record, since a name may be no text: each begins with `./` and ends with a zero byte.
/// The file is `parts/<source>/<part>.delete` or `….strip`, both numbers from 0, as they stand in the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathList {
    pub paths: u64,
    /// Hexadecimal.
    pub sha256: String,
}

/// `./a/b` as a member of a stream and a line of a [`PathList`] have it → `a/b`; nothing for `.`, the root of the source. `None` for what
/// is no path in it.
pub fn inside(name: &[u8]) -> Option<&[u8]> {
    if name == b"." {
        return Some(b"");
    }
    let path = name.strip_prefix(b"./")?;
    let mut parts = path.split(|byte| *byte == b'/');
    let is_plain = parts.all(|part| !matches!(part, b"" | b"." | b".."));
    (is_plain && !path.contains(&0)).then_some(path)
}

/// The file of a recipe that holds a [`PathList`].
pub fn list_file(source: usize, part: usize, ending: ListEnding) -> String {
    let ending = match ending {
        ListEnding::Delete => "delete",
        ListEnding::Strip => "strip",
    };
    format!("parts/{source}/{part}.{ending}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEnding {
    Delete,
    Strip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// A tar of everything: the only part.
    Full,
    /// A tar of everything, read while services ran; later parts stand over it.
    Base,
    /// What was not proven to be unchanged since the parts before it, read while services ran.
    Increment,
    /// What changed after the last of those, read while services were down.
    Final,
    /// The directories of a group.
    Folders,
    /// As [`Self::Full`], in the one file of the snapshot, whatever it is called. Only read: the Python tool wrote such.
    #[serde(skip)]
    OnlyFile,
    /// A directory as Kopia keeps one, with what is known of its root. Only read, as above.
    #[serde(skip)]
    Tree(Attributes),
    /// A file as Kopia keeps one. Only read, as above.
    #[serde(skip)]
    File(Attributes),
}

impl PartKind {
    /// A stream of tar; else files as Kopia keeps them.
    pub fn is_tar(self) -> bool {
        !matches!(self, Self::Tree(_) | Self::File(_))
    }
}

/// What Kopia knows of a file or directory, beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The 12 bits that `chmod` takes.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MissingSource {
    #[serde(flatten)]
    pub key: SourceKey,
    pub reason: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// The newest container's, if this process sees it.
    pub working_dir: Option<PathBuf>,
    /// In override order; of several groups ([`Self::groups`]) one after the other.
    pub compose_files: Vec<PathBuf>,
    pub env_files: Vec<PathBuf>,
    /// What was running when it was saved, by service; empty in points of older versions, as is all below.
    #[serde(default)]
    pub services: Vec<ServiceRecord>,
    /// Each set of files that some of the containers were made from, the newest first. More than one: the project was
    /// moved, or two projects have one name.
    #[serde(default)]
    pub groups: Vec<FileGroup>,
    /// The profiles that services which have containers are in.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// Variables that no file gives, with the values that the containers show.
    #[serde(default)]
    pub inferred: BTreeMap<String, String>,
    /// Variables that no file gives and no container shows.
    #[serde(default)]
    pub unknown_variables: Vec<String>,
    /// The directories above the saved files, outermost first.
    #[serde(default)]
    pub directories: Vec<DirectoryRecord>,
}

/// Files that belong together: what one `docker compose up` was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileGroup {
    pub working_dir: Option<PathBuf>,
    pub compose_files: Vec<PathBuf>,
    pub env_files: Vec<PathBuf>,
    /// Services whose containers were made from them.
    pub services: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRecord {
    pub name: String,
    /// How many of its containers were up.
    pub running: usize,
    pub profiles: Vec<String>,
    pub containers: Vec<ContainerRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub name: String,
    pub state: ContainerState,
    /// False for one that was made and never started.
    pub was_started: bool,
    /// The replica number, from 1.
    pub number: Option<u32>,
    pub image: String,
    /// `sha256:…`, the id on the host that made it.
    pub image_id: String,
    /// As it was asked for; empty for the image's own.
    pub user: String,
    pub mounts: Vec<MountRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    pub destination: String,
    /// The source that it shows; `None` for memory and the like.
    pub source: Option<SourceKey>,
    pub read_write: bool,
    /// A volume without a name of its own (64 hex digits).
    pub is_anonymous: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileRecord {
    pub path: PathBuf,
    /// Why it was saved.
    pub role: FileRole,
    /// Of the file, or of the link. `None` in points of older versions: there the copy in the snapshot has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<FileAttributes>,
    /// What the link at `path` says; the copy is then that of the file that it leads to, which has a record of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRecord {
    pub path: PathBuf,
    /// Of the directory, also when its name is a link.
    #[serde(flatten)]
    pub attributes: FileAttributes,
    /// What the link at `path` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<PathBuf>,
}

impl DirectoryRecord {
    /// Of the directory at `path`, if it can be looked at. Blocks.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        let link = std::fs::read_link(path).ok();
        Some(Self {
            path: path.to_owned(),
            attributes: FileAttributes::of(&metadata),
            link: link.filter(|link| link.to_str().is_some()),
        })
    }

    /// Of all that are above `path` but the root, outermost first. Blocks.
    pub fn above(path: &Path) -> Vec<Self> {
        let above = path.ancestors().skip(1);
        let mut all: Vec<Self> = above
            .filter(|directory| directory.parent().is_some())
            .filter_map(Self::of)
            .collect();
        all.reverse();
        all
    }
}

/// What is known of a file beside its content: data, since a copy that may not be given to its owner keeps none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAttributes {
    /// The 12 bits that `chmod` takes.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub modified_seconds: i64,
    pub modified_nanoseconds: u32,
}

impl FileAttributes {
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            modified_seconds: metadata.mtime(),
            modified_nanoseconds: u32::try_from(metadata.mtime_nsec()).unwrap_or(0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    Compose,
    /// `.env` and what `--env-file` named.
    Environment,
    /// What the compose files name: `env_file`, `secrets`, `configs`, `include`, `extends`, a Dockerfile.
    Referenced,
    /// Part of what an image is built from.
    BuildContext,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_file_of_its_own() {
        assert_eq!(dump_name("web_default"), "web_default.json");
        assert_eq!(dump_name("a b"), "a b.json");
        let long = "x".repeat(250);
        let names = [
            "a/b",
            "a_b",
            "a\nb",
            ".",
            "..",
            "",
            &long,
            &format!("{long}y"),
        ];
        let files: std::collections::BTreeSet<String> =
            names.iter().map(|name| dump_name(name)).collect();
        assert_eq!(files.len(), names.len());
        for file in files {
            assert!(file.len() <= 255 && !file.contains('/'), "{file}");
        }
    }

    #[test]
    fn records_of_older_versions_are_read() {
        let file: FileRecord =
            serde_json::from_str(r#"{"path": "/a", "role": "compose"}"#).unwrap();
        assert_eq!((file.attributes, file.link), (None, None));
        let project = r#"{"working_dir": null, "compose_files": [], "env_files": []}"#;
        let project: ProjectRecord = serde_json::from_str(project).unwrap();
        assert!(project.services.is_empty() && project.groups.is_empty());
    }
}
