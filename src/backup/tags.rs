//! How our snapshots are filed in Kopia: virtual paths and tags.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::kopia::NewSnapshot;
use crate::model::{BackupId, Grade, MachineId, ObjectId, Source, SourceKey, UnitKind, UnitName};

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
    pub fn recipe(&self, grade: Grade, roots: &[ObjectId], bytes: u64) -> NewSnapshot {
        let roots = roots
            .iter()
            .map(ObjectId::as_str)
            .collect::<Vec<_>>()
            .join(",");
        self.file(
            "recipe",
            vec![
                tag("type", "recipe"),
                tag("grade", grade.as_str()),
                tag("roots", &roots),
                tag("size_bytes", &bytes.to_string()),
            ],
        )
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
                    // Writing to a String can't fail.
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
    use super::*;

    #[test]
    fn hostile_names_become_one_path_each() {
        assert_eq!(encode("/srv/data"), "/srv/data");
        assert_eq!(encode("/srv/a b:c@d"), "/srv/a b:c@d");
        assert_eq!(encode("/srv/../x\ny"), "/srv/%2E%2E/x%0Ay");
        assert_ne!(encode("a%0A"), encode("a\n"));
    }
}
