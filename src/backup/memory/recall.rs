//! What is remembered of a unit: in the state directory, or, when that is new, in the newest whole point's own record.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::base::files;
use crate::base::paths::Paths;
use crate::base::text;
use crate::error::Result;
use crate::model::point::{Agreement, FileSystem, Former, Hold, PointRecord, SourceRecord};
use crate::model::source::Gap;
use crate::model::{Grade, PointId, SourceKey, UnitKind, UnitName};
use crate::points::rounds::{Round, rounds};

/// One unit of one profile. In a file of its own, so that losing one loses no other. Fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recalled {
    /// A project that took the name of a container is another unit.
    #[serde(default)]
    pub kind: Option<UnitKind>,
    /// `None` as long as there is no whole point.
    pub last: Option<Remembered>,
    pub agreed: Vec<Agreement>,
    /// What could not be read or stored in the last run, and is not agreed to.
    #[serde(default)]
    pub failing: Vec<SourceKey>,
    /// What the newest point lacks, beside that.
    #[serde(default)]
    pub losses: Vec<Gap>,
}

/// The last whole point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub point: PointId,
    pub sources: Vec<Held>,
    pub holds: Vec<Hold>,
    pub former: Vec<Former>,
}

/// A source as a point holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    #[serde(flatten)]
    pub key: SourceKey,
    pub point: PointId,
    pub exclude_patterns: Vec<String>,
    pub files: Option<u64>,
    pub bytes: Option<u64>,
    /// The length of the stream of all of it.
    pub stream: u64,
    pub file_system: Option<FileSystem>,
}

/// What changed since is in later parts, beside what it takes the place of.
fn whole_stream(source: &SourceRecord) -> u64 {
    let rounds = rounds(&source.parts).unwrap_or_default();
    let first = rounds.first().into_iter().flat_map(Round::parts);
    first.map(|part| part.bytes).sum()
}

impl Held {
    fn of(source: &SourceRecord, point: &PointId) -> Self {
        Self {
            key: source.key.clone(),
            point: point.clone(),
            exclude_patterns: source.exclude_patterns.clone(),
            files: source.files,
            bytes: source.bytes,
            stream: whole_stream(source),
            file_system: source.file_system.clone(),
        }
    }

    /// Bytes and files.
    pub fn counted(&self) -> Option<(u64, u64)> {
        Some((self.bytes?, self.files?))
    }
}

impl Remembered {
    fn of(record: &PointRecord) -> Self {
        let held = |source| Held::of(source, &record.backup_id);
        Self {
            point: record.backup_id.clone(),
            sources: record.sources.iter().map(held).collect(),
            holds: record.holds.clone(),
            former: record.former.clone(),
        }
    }

    pub fn held(&self, key: &SourceKey) -> Option<&Held> {
        self.sources.iter().find(|held| held.key == *key)
    }

    /// After a point that is not whole: what was doubted has been told, and is compared with what it is now from then on. The point
    /// that holds more stays the same, and is kept as long as that says.
    fn tell(&mut self, record: &PointRecord, doubted: &[&SourceKey]) {
        self.holds.clone_from(&record.holds);
        for held in &mut self.sources {
            let now = record.sources.iter().find(|now| now.key == held.key);
            if let Some(now) = now.filter(|now| doubted.contains(&&now.key)) {
                *held = Held {
                    file_system: held.file_system.take(),
                    ..Held::of(now, &held.point)
                };
            }
        }
    }
}

impl Recalled {
    /// From the record of a whole point.
    pub fn of(record: &PointRecord) -> Self {
        Self {
            kind: Some(record.kind),
            last: Some(Remembered::of(record)),
            agreed: record.agreed.clone(),
            failing: record.missing.iter().map(|one| one.key.clone()).collect(),
            losses: record
                .gaps
                .iter()
                .filter(|gap| gap.is_loss)
                .cloned()
                .collect(),
        }
    }

    /// After the point of `record` was written, in which it was told that the sources in `doubted` have shrunk. One that is not whole
    /// teaches nothing but that, what the operator agreed to, and what it lacks.
    pub fn and_then(&self, record: &PointRecord, doubted: &[&SourceKey]) -> Self {
        if record.grade == Grade::Partial {
            let mut last = self.last.clone();
            if let Some(last) = &mut last {
                last.tell(record, doubted);
            }
            return Self {
                last,
                ..Self::of(record)
            };
        }
        let mut next = Self::of(record);
        // What is away by agreement is compared with what it was when it comes back.
        let away = self
            .last
            .iter()
            .flat_map(|last| &last.sources)
            .filter(|held| {
                let name = held.key.to_string();
                record.agreed.iter().any(|agreement| agreement.what == name)
            });
        if let Some(last) = &mut next.last {
            for held in away {
                if last.held(&held.key).is_none() {
                    last.sources.push(held.clone());
                }
            }
        }
        next
    }

    /// Whether it may be of a unit of this kind.
    pub fn is_of(&self, kind: UnitKind) -> bool {
        self.kind.is_none_or(|known| known == kind)
    }

    /// `None` where nothing is remembered here, or nothing can be made of it.
    pub fn read(paths: &Paths, profile: &str, unit: &UnitName) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file(paths, profile, unit)).ok()?).ok()
    }

    /// What no restore point of `unit` holds any more need not be told of. `held` is what they hold, with the newest point of each.
    pub fn forget_former(
        paths: &Paths,
        profile: &str,
        unit: &UnitName,
        held: Option<&BTreeMap<SourceKey, PointId>>,
    ) -> Result<()> {
        let Some(mut recalled) = Self::read(paths, profile, unit) else {
            return Ok(());
        };
        let Some(last) = &mut recalled.last else {
            return Ok(());
        };
        let before = last.former.clone();
        last.former.retain_mut(|former| {
            let newest = held.and_then(|held| held.get(&former.key));
            former.last = newest.unwrap_or(&former.last).clone();
            newest.is_some()
        });
        if last.former == before {
            return Ok(());
        }
        recalled.write(paths, profile, unit)
    }

    /// Forgets every unit of `profile` but those in `kept`: nothing can be compared with it any more.
    pub fn forget_all_but<'a>(
        paths: &Paths,
        profile: &str,
        kept: impl Iterator<Item = &'a UnitName>,
    ) -> Result<()> {
        let kept: BTreeSet<PathBuf> = kept.map(|unit| file(paths, profile, unit)).collect();
        let folder = paths.remembered().join(profile);
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_ours = path
                .extension()
                .is_some_and(|extension| extension == "json");
            if is_ours && !kept.contains(&path) {
                files::remove(&path)?;
            }
        }
        Ok(())
    }

    pub fn write(&self, paths: &Paths, profile: &str, unit: &UnitName) -> Result<()> {
        files::write(
            &file(paths, profile, unit),
            &serde_json::to_vec_pretty(self)?,
        )
    }
}

/// Names of units may hold what no file name may.
fn file(paths: &Paths, profile: &str, unit: &UnitName) -> PathBuf {
    let hash = Sha256::digest(unit.as_str());
    let name: String = text::hex(&hash).chars().take(32).collect();
    paths.remembered().join(profile).join(name + ".json")
}
