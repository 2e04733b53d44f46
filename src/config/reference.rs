//! The reference of every key, made from what holds each: the documentation and the defaults of the schema, and the parser, which says what it
//! expects. Nothing is written down twice.

use documented::DocumentedFields;
use serde::Serialize;
use serde_json::{Value, json};

use super::problem;
use super::schema::{
    Backup, BindMounts, BindMountsOverride, Config, Docker, Drill, Hook, HookExec, Kopia, Logging,
    Metrics, Retention, RetentionOverride, Spool, Target, UnitConfig, UnitDrill,
};

/// Stands for the name of a unit.
const NAME: &str = "<name>";
/// Behind the name of a list of objects.
const LIST: &str = "[]";

/// As it is printed with `--json`: fields are only ever added.
#[derive(Debug, Serialize)]
pub struct Section {
    /// `backup.spool`; empty for the file itself.
    pub path: String,
    pub about: String,
    pub keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
pub struct Key {
    /// `backup.spool.size`
    pub path: String,
    pub about: String,
    /// What a value has to be, with its unit and range.
    pub expects: String,
    /// As JSON; `None` for a unit, which has the general setting, and for an element of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// A valid value, as JSON text.
    #[serde(serialize_with = "as_json")]
    pub example: String,
    /// The first version that knew it.
    pub since: String,
}

/// The value that the text stands for.
fn as_json<S: serde::Serializer>(
    text: &str,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serde_json::from_str::<Value>(text)
        .map_err(serde::ser::Error::custom)?
        .serialize(serializer)
}

/// All of them, in the order of the schema.
pub fn reference() -> Vec<Section> {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let about = |path: &str| match path {
        "" => String::new(),
        "backup.spool" | "backup.bind_mounts" | "backup.units" => doc::<Backup>(path),
        "backup.units.<name>.retention"
        | "backup.units.<name>.bind_mounts"
        | "backup.units.<name>.drill" => doc::<UnitConfig>(path),
        "backup.units.<name>" => doc::<Backup>("backup.units"),
        "notify[]" => doc::<Config>("notify"),
        "hooks[]" => doc::<Config>("hooks"),
        "hooks[].exec" => doc::<Hook>("exec"),
        _ => doc::<Config>(path),
    };
    let section = |path: &str, fields: &[&str], doc_of: fn(&str) -> String| Section {
        path: path.to_owned(),
        about: about(path),
        keys: fields
            .iter()
            .filter_map(|field| key(path, field, &doc_of(field), &defaults))
            .collect(),
    };
    vec![
        section("", Config::FIELD_NAMES, doc::<Config>),
        section("kopia", Kopia::FIELD_NAMES, doc::<Kopia>),
        section("backup", Backup::FIELD_NAMES, doc::<Backup>),
        section("backup.spool", Spool::FIELD_NAMES, doc::<Spool>),
        section(
            "backup.bind_mounts",
            BindMounts::FIELD_NAMES,
            doc::<BindMounts>,
        ),
        section(
            "backup.units.<name>",
            UnitConfig::FIELD_NAMES,
            doc::<UnitConfig>,
        ),
        section(
            "backup.units.<name>.retention",
            RetentionOverride::FIELD_NAMES,
            doc::<RetentionOverride>,
        ),
        section(
            "backup.units.<name>.bind_mounts",
            BindMountsOverride::FIELD_NAMES,
            doc::<BindMountsOverride>,
        ),
        section(
            "backup.units.<name>.drill",
            UnitDrill::FIELD_NAMES,
            doc::<UnitDrill>,
        ),
        section("docker", Docker::FIELD_NAMES, doc::<Docker>),
        section("retention", Retention::FIELD_NAMES, doc::<Retention>),
        section("drill", Drill::FIELD_NAMES, doc::<Drill>),
        section("logging", Logging::FIELD_NAMES, doc::<Logging>),
        section("metrics", Metrics::FIELD_NAMES, doc::<Metrics>),
        section("hooks[]", Hook::FIELD_NAMES, doc::<Hook>),
        section("hooks[].exec", HookExec::FIELD_NAMES, doc::<HookExec>),
        section("notify[]", Target::FIELD_NAMES, doc::<Target>),
    ]
}

/// The documentation of the last name in `path`, in one paragraph, with its last one, the tags, behind it.
fn doc<T: DocumentedFields>(path: &str) -> String {
    let field = path.rsplit('.').next().unwrap_or(path);
    T::get_field_docs(field).unwrap_or_default().to_owned()
}

/// `None` for a section, which has no tags.
fn key(section: &str, field: &str, doc: &str, defaults: &Value) -> Option<Key> {
    let (about, tags) = doc.rsplit_once("\n\n")?;
    let (example, since) = tags.strip_prefix("Example: `")?.split_once("`. Since: ")?;
    let path = if section.is_empty() {
        field.to_owned()
    } else {
        format!("{section}.{field}")
    };
    let default = defaults.pointer(&format!("/{}", path.replace('.', "/")));
    Some(Key {
        about: about.replace('\n', " "),
        expects: expected(&path),
        default: default.cloned(),
        example: example.to_owned(),
        since: since.trim_end_matches('.').to_owned(),
        path,
    })
}

/// What the parser says when it finds something else there.
fn expected(path: &str) -> String {
    let odd = document(path, json!({"": ""}));
    let error = serde_json::from_value::<Config>(odd).err();
    let message = error.map_or_else(String::new, |error| error.to_string());
    problem::expected_in(&message)
        .unwrap_or_default()
        .to_owned()
}

/// A configuration with `value` alone.
fn document(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |mut value, name| match name {
        NAME => json!({ "name": value }),
        _ => match name.strip_suffix(LIST) {
            Some(name) => {
                // An element has to say what it is.
                if let Some(element) = value.as_object_mut() {
                    let (key, some) = match name {
                        "hooks" => ("when", "before_stop"),
                        _ => ("type", "webhook"),
                    };
                    element.entry(key).or_insert(some.into());
                }
                json!({ name: [value] })
            }
            None => json!({ name: value }),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn keys_of(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    let inner = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    keys_of(value, &inner, found);
                }
            }
            _ => _ = found.insert(path.to_owned()),
        }
    }

    /// Every key that a file can hold.
    fn all_keys() -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        keys_of(&Config::keys(), "", &mut found);
        let unit = serde_json::to_value(UnitConfig::filled()).unwrap();
        keys_of(&unit, "backup.units.<name>", &mut found);
        found.remove("backup.units");
        let target = serde_json::to_value(Target::filled()).unwrap();
        keys_of(&target, "notify[]", &mut found);
        found.remove("notify");
        let hook = serde_json::to_value(Hook::filled()).unwrap();
        keys_of(&hook, "hooks[]", &mut found);
        found.remove("hooks");
        found
    }

    #[test]
    fn every_key_is_in_the_reference_with_all_that_a_user_needs() {
        let sections = reference();
        let told: BTreeSet<String> = sections
            .iter()
            .flat_map(|section| &section.keys)
            .map(|key| key.path.clone())
            .collect();
        assert_eq!(told, all_keys());
        for key in sections.iter().flat_map(|section| &section.keys) {
            assert!(key.about.ends_with('.'), "{key:?}");
            assert!(!key.expects.is_empty(), "{key:?}");
            assert!(!key.since.is_empty(), "{key:?}");
            let is_of_many = ["backup.units", "hooks[]", "notify[]"].iter();
            let is_of_many = is_of_many.into_iter().any(|of| key.path.starts_with(of));
            assert_eq!(key.default.is_none(), is_of_many, "{key:?}");
        }
        for section in sections.iter().skip(1) {
            assert!(section.about.ends_with('.'), "{section:?}");
        }
    }

    #[test]
    fn every_example_is_valid_and_differs_from_the_default() {
        for section in reference() {
            for key in section.keys {
                let example: Value = serde_json::from_str(&key.example).unwrap();
                assert!(
                    key.path == "version" || key.default.as_ref() != Some(&example),
                    "{key:?}"
                );
                let config = serde_json::from_value::<Config>(document(&key.path, example));
                assert!(config.is_ok(), "{key:?}: {config:?}");
            }
        }
    }

    #[test]
    fn what_a_key_expects_is_what_the_parser_says() {
        let sections = reference();
        let expects = |path: &str| {
            let mut keys = sections.iter().flat_map(|section| &section.keys);
            keys.find(|key| key.path == path).unwrap().expects.clone()
        };
        assert_eq!(
            expects("backup.stop_timeout"),
            "a whole number of seconds from 1 to 3600"
        );
        assert_eq!(expects("backup.include_secrets"), "true or false");
        assert_eq!(expects("backup.exclude_patterns"), "a list (`[ … ]`)");
    }
}
