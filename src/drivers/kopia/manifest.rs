//! Snapshots as Kopia lists them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};

use super::tree::posix_mode;
use crate::model::Identity;
use crate::model::point::Attributes;

/// One snapshot manifest, of any tool and host. Optional where another writer may have left it out.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub id: String,
    pub source: ManifestSource,
    #[serde(default, deserialize_with = "time")]
    start_time: Option<DateTime<Utc>>,
    /// Why it is not whole: `canceled`, `checkpoint`, …; empty when it is.
    #[serde(default)]
    pub incomplete: String,
    #[serde(default)]
    pub root_entry: Option<RootEntry>,
    #[serde(default, deserialize_with = "tags")]
    tags: Tags,
}

/// Names as Kopia stores them, and values.
type Tags = Vec<(Arc<str>, Arc<str>)>;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestSource {
    pub host: String,
    pub user_name: String,
    #[serde(default)]
    pub path: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct RootEntry {
    pub obj: String,
    #[serde(rename = "type", default)]
    kind: Kind,
    #[serde(default, deserialize_with = "mode")]
    mode: Option<u32>,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default, deserialize_with = "time")]
    mtime: Option<DateTime<Utc>>,
    #[serde(default)]
    pub summ: Summary,
}

/// As Kopia calls it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Kind {
    #[serde(rename = "d")]
    Folder,
    #[serde(rename = "f")]
    File,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    pub size: u64,
    pub files: u64,
    pub num_failed: u64,
    pub num_ignored_errors: u64,
}

impl Manifest {
    /// A tag of ours; Kopia stores them with a prefix.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let name_of = |key: &Arc<str>| key.strip_prefix("tag:").is_some_and(|key| key == name);
        let found = self.tags.iter().find(|(key, _)| name_of(key));
        found.map(|(_, value)| &**value)
    }

    /// Lets its tags be one with those in `known`: in a list of many thousands almost all of them are the same.
    pub fn share(&mut self, known: &mut HashSet<Arc<str>>) {
        for (key, value) in &mut self.tags {
            for text in [key, value] {
                match known.get(text) {
                    Some(same) => *text = Arc::clone(same),
                    None if text.len() <= LONGEST_SHARED => {
                        known.insert(Arc::clone(text));
                    }
                    None => {}
                }
            }
        }
    }

    /// The objects that the point of this recipe is made of; `None` when it does not name them.
    pub fn roots(&self) -> Option<impl Iterator<Item = &str>> {
        let first = self.tag("roots")?;
        // Those that did not fit.
        let more = (2..).map_while(|n| self.tag(&format!("roots{n}")));
        let all = std::iter::once(first).chain(more);
        Some(
            all.flat_map(|text| text.split(','))
                .filter(|root| !root.is_empty()),
        )
    }

    pub fn started_at(&self) -> Option<DateTime<Utc>> {
        self.start_time
    }

    pub fn identity(&self) -> Identity {
        Identity::new(&self.source.user_name, &self.source.host)
    }

    /// Nothing in it is cancelled, failed or ignored.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
            && self
                .root_entry
                .as_ref()
                .is_some_and(|root| root.summ.num_failed == 0 && root.summ.num_ignored_errors == 0)
    }
}

impl RootEntry {
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// `None` where they are left out or make no sense.
    pub fn attributes(&self) -> Option<Attributes> {
        Some(Attributes {
            mode: self.mode?,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime?,
        })
    }
}

/// The roots of a point are its own.
const LONGEST_SHARED: usize = 64;

fn tags<'de, D: Deserializer<'de>>(input: D) -> Result<Tags, D::Error> {
    let tags = BTreeMap::<String, String>::deserialize(input)?;
    let tags = tags.into_iter();
    Ok(tags
        .map(|(key, value)| (key.into(), value.into()))
        .collect())
}

/// A list holds what others wrote: a time that makes no sense must not cost the rest of it.
fn time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let text = String::deserialize(input)?;
    Ok(DateTime::parse_from_rfc3339(&text)
        .ok()
        .map(|time| time.to_utc()))
}

fn mode<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    Ok(posix_mode(&String::deserialize(input)?))
}

/// Clocks of hosts that are kept right differ by less.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// How far the newest snapshot lies in the future: this host's clock is behind then, or another one's is ahead. Kopia itself cannot
/// tell: it stamps what it writes with the clock of the writer.
pub fn clock_skew(manifests: &[Manifest], now: DateTime<Utc>) -> Option<TimeDelta> {
    let newest = manifests.iter().filter_map(Manifest::started_at).max()?;
    Some(newest - now).filter(|ahead| *ahead > SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `kopia snapshot list --all --json` of 0.23.1 prints them.
    const RECORDED: &str = r#"[
 {"id":"e33c088e6052ba6634a3edae2544b00c","source":{"host":"h1","userName":"kopi-docka","path":"/kd/u/volumes/v"},"description":"","startTime":"2026-11-22T06:02:46.03089077Z","endTime":"2026-11-22T06:02:49.866796518Z","stats":{"totalSize":100000000,"excludedTotalSize":0,"fileCount":1,"cachedFiles":0,"nonCachedFiles":1,"dirCount":1,"excludedFileCount":0,"excludedDirCount":0,"ignoredErrorCount":0,"errorCount":0},"rootEntry":{"name":"/kd/u/volumes/v","type":"d","mode":"0777","mtime":"1754-08-30T22:43:41.128654848Z","obj":"kc8ed3394893affada12a98428915bdc7","summ":{"size":100000000,"files":1,"symlinks":0,"dirs":1,"maxTime":"2026-11-22T06:02:46.030386458Z","numFailed":0}},"tags":{"tag:size_bytes":"5","tag:type":"volume"}},
 {"id":"aa","source":{"host":"h1","userName":"u","path":"/p"},"description":"","startTime":"2026-11-22T06:02:46Z","endTime":"2026-11-22T06:02:49Z","incomplete":"canceled","rootEntry":{"name":"p","type":"d","mode":"0777","mtime":"1754-08-30T22:43:41Z","obj":"k1","summ":{"size":0,"files":0,"symlinks":0,"dirs":1,"maxTime":"0001-01-01T00:00:00Z","numFailed":0}}}
]"#;

    #[test]
    fn a_recorded_list_is_read_and_a_cancelled_one_is_not_complete() {
        let list: Vec<Manifest> = serde_json::from_str(RECORDED).unwrap();
        assert_eq!(list[0].tag("type"), Some("volume"));
        assert_eq!(list[0].identity(), "kopi-docka@h1");
        assert!(list[0].is_complete());
        let root = list[0].root_entry.as_ref().unwrap();
        assert!(root.is_folder() && !root.is_file());
        assert_eq!(root.attributes().unwrap().mode, 0o777);
        assert!(
            list[0].started_at()
                < list[1]
                    .started_at()
                    .map(|time| time + chrono::TimeDelta::seconds(1))
        );
        assert!(!list[1].is_complete());
    }
}
