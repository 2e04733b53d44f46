//! YAML as compose reads it: anchors and merge keys resolved, tags such as `!override` dropped.

use saphyr::{LoadableYamlNode as _, ScalarOwned, YamlOwned};
use serde_json::{Map, Value};

/// The first document of `text`; `null` for an empty one. The error is a sentence.
pub fn parse(text: &str) -> Result<Value, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Aliases that would blow up to more than the crate's budget are an error too.
    let documents = YamlOwned::load_from_str(text).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().next().map_or(Value::Null, plain))
}

fn plain(node: YamlOwned) -> Value {
    match node {
        YamlOwned::Value(scalar) => match scalar {
            ScalarOwned::String(text) => Value::String(text),
            ScalarOwned::Integer(number) => Value::from(number),
            ScalarOwned::FloatingPoint(number) => Value::from(*number),
            ScalarOwned::Boolean(yes) => Value::Bool(yes),
            ScalarOwned::Null => Value::Null,
        },
        YamlOwned::Representation(text, ..) => Value::String(text),
        YamlOwned::Sequence(items) => items.into_iter().map(plain).collect(),
        YamlOwned::Mapping(entries) => mapping(
            entries
                .into_iter()
                .map(|(key, value)| (plain(key), plain(value))),
        ),
        YamlOwned::Tagged(_, node) => plain(*node),
        YamlOwned::Alias(_) | YamlOwned::BadValue => Value::Null,
    }
}

/// `<<` fills in what the mapping itself does not have; of several, the first that has it.
fn mapping(entries: impl Iterator<Item = (Value, Value)>) -> Value {
    let mut own = Map::new();
    let mut merged = Vec::new();
    for (key, value) in entries {
        match (key, value) {
            (Value::String(key), Value::Object(map)) if key == "<<" => merged.push(map),
            (Value::String(key), Value::Array(maps)) if key == "<<" => {
                merged.extend(maps.into_iter().filter_map(|map| match map {
                    Value::Object(map) => Some(map),
                    _ => None,
                }));
            }
            (Value::String(key), value) => {
                own.insert(key, value);
            }
            (key, value) => {
                own.insert(key.to_string(), value);
            }
        }
    }
    for (key, value) in merged.into_iter().flatten() {
        own.entry(key).or_insert(value);
    }
    Value::Object(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::damaged_text;
    use proptest::prelude::*;

    #[test]
    fn anchors_merges_and_tags_are_resolved() {
        let text = "\u{feff}x-a: &a {env_file: one, image: i}\nx-b: &b {image: j, user: u}\nservices:\n  s:\n    <<: [*a, *b]\n    image: own\n    ports: !override [1]\n  t: {<<: *b}\n";
        let document = parse(text).unwrap();
        assert_eq!(
            document["services"],
            serde_json::json!({
                "s": {"image": "own", "ports": [1], "env_file": "one", "user": "u"},
                "t": {"image": "j", "user": "u"},
            })
        );
    }

    #[test]
    fn what_is_no_yaml_is_an_error_and_nothing_is_null() {
        assert!(parse("a: [1, 2").is_err());
        assert_eq!(parse("").unwrap(), Value::Null);
        assert_eq!(parse("# nothing\n").unwrap(), Value::Null);
    }

    #[test]
    fn a_document_that_explodes_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = level - 1;
            let items = vec![format!("*a{below}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        assert!(parse(&text).is_err());
    }

    const COMPOSE: &str = "x-a: &a {env_file: one, image: i}\nservices:\n  s:\n    <<: [*a]\n    image: own\n    ports: !override [1]\n    command: |\n      a\n      b\nvolumes:\n  d: {}\n";

    proptest! {
        /// Compose files are whatever somebody wrote.
        #[test]
        fn no_text_breaks_it(text in damaged_text(COMPOSE)) {
            let _ = parse(&text);
        }
    }
}
