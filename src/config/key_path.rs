//! Where a value is in the configuration: `backup.units["my.app"].exclude_patterns[2]`.

use std::fmt;

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The path of `keys`, one a level.
    pub fn of(keys: &[&str]) -> Self {
        Self(
            keys.iter()
                .map(|key| Step::Key((*key).to_owned()))
                .collect(),
        )
    }

    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    #[must_use]
    pub fn element(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }

    /// Whether it is, or lies below, what is called `key` in the document.
    pub fn starts_with(&self, key: &str) -> bool {
        matches!(self.0.first(), Some(Step::Key(first)) if first == key)
    }

    /// The key at the end; none for the document itself and for an element of a list.
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What `document` holds there.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        })
    }

    /// Puts `value` there, if what it belongs into exists.
    pub fn insert(&self, document: &mut Value, value: Value) {
        let Some((Step::Key(key), parents)) = self.0.split_last() else {
            return;
        };
        let parent = parents.iter().try_fold(document, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(index),
        });
        if let Some(Value::Object(parent)) = parent {
            parent.insert(key.clone(), value);
        }
    }
}

impl From<&Path> for KeyPath {
    fn from(path: &Path) -> Self {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        Self(steps.collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for step in &self.0 {
            match step {
                Step::Key(key) if is_plain(key) => write!(f, "{separator}{key}")?,
                // Quoted as JSON, so that a name with a dot or a control character cannot be misread.
                Step::Key(key) => write!(f, "[{}]", Value::from(key.as_str()))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
            separator = ".";
        }
        Ok(())
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_with_a_dot_is_quoted() {
        let path = KeyPath::of(&["backup", "units", "my.app", "enabled"]);
        assert_eq!(path.to_string(), r#"backup.units["my.app"].enabled"#);
        assert_eq!(KeyPath::of(&["a\nb"]).to_string(), r#"["a\nb"]"#);
    }

    #[test]
    fn a_value_is_found_and_put_at_its_path() {
        let mut document = json!({"a": {"b": 1}});
        assert_eq!(KeyPath::of(&["a", "b"]).find(&document), Some(&json!(1)));
        KeyPath::of(&["a", "c"]).insert(&mut document, json!(2));
        KeyPath::of(&["x", "y"]).insert(&mut document, json!(3));
        assert_eq!(document, json!({"a": {"b": 1, "c": 2}}));
    }
}
