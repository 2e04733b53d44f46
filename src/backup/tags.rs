//! How our snapshots are filed in Kopia: virtual paths and tags.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::drivers::kopia::NewSnapshot;
use crate::model::point::{Hold, PointRecord};
use crate::model::{BackupId, MachineId, ObjectId, Source, SourceKey, UnitKind, UnitName};

/// What all snapshots of one unit and run have in common.
#[derive(Clone, Debug)]
pub struct Filing {
    pub profile: String,
    /// Host names repeat.
    pub machine: MachineId,
    pub unit: UnitName,
    /// A project and a container may have one name.
    pub kind: UnitKind,
    pub backup_id: BackupId,
    pub timestamp: DateTime<Utc>,
}

impl Filing {
    /// A stream of `source`. `estimated_bytes` was measured before the stop; the recipe has the exact length.
    pub fn stream(&self, source: &Source, estimated_bytes: u64) -> NewSnapshot {
        let (place, mut tags) = match &source.key {
            SourceKey::Volume { name } => (
                format!("volumes/{}", encode(name)),
                vec![tag("type", "volume"), tag("volume", name)],
            ),
            SourceKey::Bind { path } => (
                // The path begins with a slash.
                format!("binds{}", encode(&path.to_string_lossy())),
                vec![
                    tag("type", "bind"),
                    tag("bind_source", &path.to_string_lossy()),
                    tag("bind_destination", &source.destinations.join(",")),
                ],
            ),
        };
        tags.push(tag("size_bytes", &estimated_bytes.to_string()));
        tags.push(tag("backup_format", "tar"));
        self.file(&place, tags)
    }

    /// The recipe. `roots` are the objects that the point is made of: with them a listing sees at once, without
    /// opening a single recipe, whether a point is whole.
    /// `record` also says how many sources are missing, and which older points retention keeps.
    pub fn recipe(&self, record: &PointRecord, roots: &[ObjectId], bytes: u64) -> NewSnapshot {
        let mut tags = vec![
            tag("type", "recipe"),
            tag("grade", record.grade.as_str()),
            tag("size_bytes", &bytes.to_string()),
            tag("missing", &record.missing.len().to_string()),
        ];
        tags.extend(roots_tags(roots));
        if !record.holds.is_empty() {
            tags.push(tag("holds", &Hold::tag(&record.holds)));
        }
        self.file("recipe", tags)
    }

    fn file(&self, place: &str, mut tags: Vec<(String, String)>) -> NewSnapshot {
        tags.push(tag("unit", self.unit.as_str()));
        tags.push(tag("kind", self.kind.as_str()));
        tags.push(tag("machine", self.machine.as_str()));
        tags.push(tag("backup_id", &self.backup_id.to_string()));
        tags.push(tag(
            "timestamp",
            &self
                .timestamp
                .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        ));
        NewSnapshot {
            path: format!("/{}/{}/{place}", self.profile, encode(self.unit.as_str())),
            tags,
            start_time: self.backup_id.time(),
        }
    }
}

/// The kernel takes no argument of 128 KiB or more: so many roots that they do not fit into one tag go on in `roots2`, `roots3` and
/// so on. [`Manifest::roots`](crate::drivers::kopia::Manifest::roots) reads them.
fn roots_tags(roots: &[ObjectId]) -> Vec<(String, String)> {
    let mut texts = vec![String::new()];
    for root in roots {
        let root = root.as_str();
        match texts.last_mut() {
            Some(text) if text.is_empty() => text.push_str(root),
            Some(text) if text.len() + root.len() < LONGEST_TAG => {
                text.push(',');
                text.push_str(root);
            }
            _ => texts.push(root.to_owned()),
        }
    }
    let names = std::iter::once("roots".to_owned()).chain((2..).map(|n| format!("roots{n}")));
    names.zip(texts).collect()
}

const LONGEST_TAG: usize = 96 * 1024;

fn tag(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// A path that Kopia keeps as it is: no control characters, no `.` or `..` components, no trailing slash, one name one path.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for component in text.trim_end_matches('/').split('/').enumerate() {
        let (index, component) = component;
        if index > 0 {
            encoded.push('/');
        }
        let is_dots = matches!(component, "." | "..");
        for c in component.chars() {
            if c == '%' || c.is_control() || is_dots || c == '\\' {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    // Writing to a String cannot fail.
                    let _ = write!(encoded, "%{byte:02X}");
                }
            } else {
                encoded.push(c);
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_tag_is_longer_than_an_argument_may_be_and_each_root_is_in_one() {
        let root = |n: u32| ObjectId::parse(&format!("{n:032x}")).unwrap();
        for count in [0, 1, 5000, 20_000] {
            let roots: Vec<ObjectId> = (0..count).map(root).collect();
            let tags = roots_tags(&roots);
            assert!(tags.iter().all(|(_, text)| text.len() <= 96 * 1024));
            let manifest: crate::drivers::kopia::Manifest = serde_json::from_value(serde_json::json!({
                "id": "a", "source": {"host": "h", "userName": "u"},
                "tags": tags.iter().map(|(name, text)| (format!("tag:{name}"), text)).collect::<BTreeMap<_, _>>()
            }))
            .unwrap();
            let found: Vec<&str> = manifest.roots().unwrap().collect();
            assert!(
                found.into_iter().eq(roots.iter().map(ObjectId::as_str)),
                "{count}"
            );
        }
    }

    #[test]
    fn hostile_names_become_one_path_each() {
        assert_eq!(encode("/srv/data"), "/srv/data");
        assert_eq!(encode("/srv/a b:c@d"), "/srv/a b:c@d");
        assert_eq!(encode("/srv/../x\ny"), "/srv/%2E%2E/x%0Ay");
        assert_ne!(encode("a%0A"), encode("a\n"));
    }
}
