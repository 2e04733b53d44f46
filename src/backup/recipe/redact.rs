//! Secrets out of what Docker says about a container or volume.
//!
//! Only where values have names: environment variables, and the `password=` in a volume's mount options. Command
//! lines and labels are kept as they are, since a container cannot be rebuilt from a guess.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::point::REDACTED;

const TELLING: &[&str] = &[
    "PASS",
    "SECRET",
    "KEY",
    "TOKEN",
    "API",
    "AUTH",
    "CREDENTIAL",
];

/// Names and values of what was replaced.
pub type Removed = BTreeMap<String, String>;

/// Replaces values in `Config.Env` of a container.
pub fn container(inspect: &mut Value) -> Removed {
    let mut removed = Removed::new();
    let variables = inspect
        .get_mut("Config")
        .and_then(|config| config.get_mut("Env"))
        .and_then(Value::as_array_mut);
    for variable in variables.into_iter().flatten() {
        if let Some((key, value)) = variable.as_str().and_then(|text| text.split_once('='))
            && is_telling(key)
            && !value.is_empty()
        {
            removed.insert(key.to_owned(), value.to_owned());
            *variable = Value::String(format!("{key}={REDACTED}"));
        }
    }
    removed
}

/// Replaces the passwords in `Options.o` of a volume; what is kept is the whole option.
pub fn volume(inspect: &mut Value) -> Removed {
    let mut removed = Removed::new();
    let options = inspect
        .get_mut("Options")
        .and_then(|options| options.get_mut("o"));
    if let Some(Value::String(text)) = options {
        let clean: Vec<String> = text
            .split(',')
            .map(|option| match option.split_once('=') {
                Some((key, _)) if is_telling(key) => format!("{key}={REDACTED}"),
                _ => option.to_owned(),
            })
            .collect();
        let clean = clean.join(",");
        if clean != *text {
            removed.insert("o".to_owned(), std::mem::replace(text, clean));
        }
    }
    removed
}

/// Whether the value of what has that name is a secret.
pub fn is_telling(key: &str) -> bool {
    let key = key.to_ascii_uppercase();
    TELLING.iter().any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_leave_the_environment_and_nothing_else_changes() {
        let mut inspect = json!({"Config": {"Env": ["DB_PASSWORD=a=b", "PATH=/bin", "api_url=x", "TOKEN=", "BARE"]}, "Id": "1"});
        let removed = container(&mut inspect);
        assert_eq!(
            inspect,
            json!({"Config": {"Env": ["DB_PASSWORD=***REDACTED***", "PATH=/bin", "api_url=***REDACTED***", "TOKEN=", "BARE"]}, "Id": "1"})
        );
        assert_eq!(removed["DB_PASSWORD"], "a=b");
        assert_eq!(removed.len(), 2);
        assert!(container(&mut json!({"Config": {"Env": null}})).is_empty());
        assert!(container(&mut json!({})).is_empty());
    }

    #[test]
    fn the_password_of_a_share_is_taken_out_of_the_mount_options() {
        let mut inspect =
            json!({"Options": {"o": "addr=nas,username=me,password=geheim", "type": "cifs"}});
        let removed = volume(&mut inspect);
        assert_eq!(
            inspect["Options"]["o"],
            "addr=nas,username=me,password=***REDACTED***"
        );
        assert_eq!(removed["o"], "addr=nas,username=me,password=geheim");
        assert!(volume(&mut json!({"Options": null})).is_empty());
        assert!(volume(&mut json!({"Options": {"o": "bind"}})).is_empty());
    }
}
