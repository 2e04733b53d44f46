//! Keys that mean nothing to this program: a typing error, or something of another program that shares the file.
//! They are said and shown, never an error: a configuration must survive a downgrade.

use serde_json::{Map, Value};

use super::key_path::KeyPath;
use super::renamed::new_name;
use super::schema::{Config, Hook, Target, UnitConfig};
use crate::base::secret::{MASK, is_secret_name};

/// One key, with what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    pub path: KeyPath,
    /// What looks like a secret is masked.
    pub value: Value,
    pub holds_secret: bool,
}

impl Unknown {
    fn new(path: KeyPath, value: &Value) -> Self {
        let mut shown = value.clone();
        let holds_secret = mask(path.last_key().unwrap_or_default(), &mut shown);
        Self {
            path,
            value: shown,
            holds_secret,
        }
    }

    pub fn warning(&self) -> String {
        let advice = match new_name(&self.path.to_string()) {
            Some(advice) => advice.to_owned(),
            None => match self.meant() {
                Some(known) => format!("did you mean `{known}`?"),
                None => "no such key is known".to_owned(),
            },
        };
        format!("`{}` is ignored: {advice}", self.path)
    }

    /// The known key of the same name at another place.
    fn meant(&self) -> Option<KeyPath> {
        let name = self.path.last_key()?;
        find(&Config::keys(), name, &KeyPath::default())
    }
}

/// Every unknown key of `document`. `Err` is the path of a value that should have been an object.
pub fn find_unknown(document: &Value) -> Result<Vec<Unknown>, KeyPath> {
    let mut found = Vec::new();
    let root = KeyPath::default();
    compare(document, &Config::keys(), &root, &mut found)?;
    let units = KeyPath::of(&["backup", "units"]);
    let filled = serde_json::to_value(UnitConfig::filled()).unwrap_or_default();
    if let Some(Value::Object(named)) = units.find(document) {
        for (name, unit) in named {
            compare(unit, &filled, &units.child(name), &mut found)?;
        }
    }
    for (key, filled) in [
        ("hooks", serde_json::to_value(Hook::filled())),
        ("notify", serde_json::to_value(Target::filled())),
    ] {
        let (elements, filled) = (KeyPath::of(&[key]), filled.unwrap_or_default());
        if let Some(Value::Array(list)) = elements.find(document) {
            for (index, element) in list.iter().enumerate() {
                compare(element, &filled, &elements.element(index), &mut found)?;
            }
        }
    }
    Ok(found)
}

fn compare(
    value: &Value,
    known: &Value,
    path: &KeyPath,
    found: &mut Vec<Unknown>,
) -> Result<(), KeyPath> {
    let Value::Object(known) = known else {
        return Ok(());
    };
    // serde would also take a list for a section, element by element.
    let Value::Object(value) = value else {
        return Err(path.clone());
    };
    if *path == KeyPath::of(&["backup", "units"]) {
        return Ok(());
    }
    for (key, value) in value {
        let path = path.child(key);
        match known.get(key) {
            Some(known) => compare(value, known, &path, found)?,
            None => found.push(Unknown::new(path, value)),
        }
    }
    Ok(())
}

fn find(keys: &Value, name: &str, path: &KeyPath) -> Option<KeyPath> {
    let keys: &Map<String, Value> = keys.as_object()?;
    keys.iter().find_map(|(key, value)| {
        let path = path.child(key);
        if key == name {
            Some(path)
        } else {
            find(value, name, &path)
        }
    })
}

/// Masks every text below `value` that may be a secret, by its key or for being an address (tokens of
/// notification services are part of theirs). Whether there was one by its key.
fn mask(name: &str, value: &mut Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter_mut()
            .map(|(key, value)| {
                let name = if is_secret_name(name) { name } else { key };
                mask(name, value)
            })
            .fold(false, |any, one| any | one),
        Value::Array(list) => list
            .iter_mut()
            .map(|value| mask(name, value))
            .fold(false, |any, one| any | one),
        Value::String(text) if text.is_empty() => false,
        Value::String(text) => {
            let is_secret = is_secret_name(name);
            if is_secret || text.contains("://") {
                MASK.clone_into(text);
            }
            is_secret
        }
        Value::Number(_) if is_secret_name(name) => {
            *value = Value::from(MASK);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn warnings(document: &Value) -> Vec<String> {
        let found = find_unknown(document).unwrap();
        found.iter().map(Unknown::warning).collect()
    }

    #[test]
    fn every_unknown_key_is_named_with_its_path_also_inside_units() {
        let document = json!({
            "extra": 1,
            "backup": {
                "stop_timeout": 3,
                "stop_timout": 3,
                "spool": {"speed": 1},
                "units": {"my.app": {"enabeld": true, "enabled": true, "retention": {"dayly": 1, "daily": 1},
                    "bind_mounts": {"mode": "all", "modes": 1, "max_size": null}}}
            }
        });
        let paths = find_unknown(&document).unwrap();
        let paths: Vec<_> = paths.iter().map(|found| found.path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "extra",
                "backup.stop_timout",
                "backup.spool.speed",
                r#"backup.units["my.app"].enabeld"#,
                r#"backup.units["my.app"].retention.dayly"#,
                r#"backup.units["my.app"].bind_mounts.modes"#,
            ]
        );
    }

    #[test]
    fn known_keys_are_not_warned_about() {
        assert_eq!(warnings(&Config::keys()), Vec::<String>::new());
        let unit = serde_json::to_value(UnitConfig::filled()).unwrap();
        assert_eq!(
            warnings(&json!({"backup": {"units": {"web": unit}}})),
            Vec::<String>::new()
        );
    }

    #[test]
    fn old_and_misplaced_keys_are_told_their_place() {
        assert_eq!(
            warnings(&json!({"retention": {"annual": 3}, "stop_timeout": 3, "x": 1})),
            [
                "`retention.annual` is ignored: it is now called `retention.yearly`",
                "`stop_timeout` is ignored: did you mean `backup.stop_timeout`?",
                "`x` is ignored: no such key is known",
            ]
        );
    }

    #[test]
    fn a_section_that_is_no_object_is_found() {
        assert_eq!(find_unknown(&json!([])), Err(KeyPath::default()));
        assert_eq!(
            find_unknown(&json!({"docker": ["/x", 3]})),
            Err(KeyPath::of(&["docker"]))
        );
        let unit = json!({"backup": {"units": {"web": true}}});
        assert_eq!(
            find_unknown(&unit),
            Err(KeyPath::of(&["backup", "units", "web"]))
        );
        let units = json!({"backup": {"units": []}});
        assert_eq!(find_unknown(&units), Err(KeyPath::of(&["backup", "units"])));
    }

    #[test]
    fn what_may_be_a_secret_in_an_unknown_key_is_masked() {
        let document = json!({
            "kopia": {"passwort_password": "hunter2"},
            "notifications": {"url": "tgram://hunter2", "secret": 12345, "secret_file": "/x", "credentials": {"a": ["hunter2"]}}
        });
        let found = find_unknown(&document).unwrap();
        assert!(found.iter().all(|found| found.holds_secret));
        assert_eq!(found[0].value, json!("***"));
        assert_eq!(
            found[1].value,
            json!({"url": "***", "secret": "***", "secret_file": "/x", "credentials": {"a": ["***"]}})
        );
    }
}
